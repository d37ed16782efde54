export { kernelName, ncclVersion } from '@troupe/native'
export type { ArrayMethods, Axes, Range, ReductionOptions } from './array/array-methods.js'
export type { ArrayOf, Beside, ElementwiseMethods, Kind, Scalar } from './array/elementwise-methods.js'
export { type AnyArray, concat, convolve, pad, stack, where } from './array/functions.js'
export type { Shape } from './array/shapes.js'
export { TracedArray } from './array/traced-array.js'
export type { NumberType, Promoted, Summed } from './array/types.js'
export type { Memory } from './backend/backend.js'
export { type DeviceReport, listDevices } from './backend/list-devices.js'
export { nativeStorage } from './backend/native-memory.js'
export { openDevice } from './backend/open-device.js'
export { CollectiveError } from './collective-error.js'
export {
  Communicator,
  type CommunicatorOptions,
  type RankAddress,
  type ReduceOptions,
  type Reducible,
  type Reduction,
  type Registration,
  type Rows,
} from './communicator.js'
export {
  blockOf,
  bytesOfRows,
  bytesPerElement,
  CACHE_TYPES,
  type CacheType,
  cacheBytes,
  cacheElements,
  type DataType,
  type ElementArray,
  isQuantized,
  type QuantizedType,
} from './data-type.js'
export {
  countGpus,
  DEVICE_KINDS,
  type Device,
  type DeviceKind,
  type DeviceName,
  PROGRAM_DEVICES,
  type ProgramDevice,
} from './device.js'
export { type FileRows, PACKED_TYPES, type PackedType, PackedWeight } from './packed-weight.js'
export { type OperationProfile, type Output, Program, type ProgramStatistics } from './program.js'
export type { ProgramInput } from './program-input.js'
export { Tensor, type TensorHandle, type TensorOptions } from './tensor.js'
export {
  type AttentionBatch,
  type CacheShape,
  type CompileOptions,
  PRECISIONS,
  type Precision,
  type RowSymbol,
  type SampleAdjustments,
  type SharedAttentionBatch,
  Trace,
  type TracedOperation,
  type Value,
} from './trace.js'
