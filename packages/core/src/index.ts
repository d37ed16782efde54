export {
  actor,
  type Constructor,
  getActor,
  type MemberPlace,
  type NameOptions,
  RemoteClass,
} from './api/actor.js'
export type { CallOptions } from './api/call-options.js'
export { Cluster, type ConnectOptions, connect, type NodeInfo } from './api/cluster.js'
export { communicator, type GroupOptions, Invitation, type JoinOptions } from './api/communicator.js'
export {
  ActorDiedError,
  ActorUnreachableError,
  CancelledError,
  ClusterLostError,
  DeadlineExceededError,
  InvalidInputError,
  NodeUnreachableError,
  ObjectLostError,
  PortInUseError,
  QueueFullError,
  TroupeError,
  WorkerDiedError,
} from './api/errors.js'
export {
  type ActorDescription,
  describeActor,
  type Handle,
  killActor,
  type MethodName,
  type RemoteArguments,
  type RemoteMethod,
  type RemoteResult,
  stopActor,
  withOptions,
} from './api/handle.js'
export type { ActorFailure, ActorHooks, Decision, Restart } from './api/hooks.js'
export { Mesh, type MeshAnswer, type MeshMember } from './api/mesh.js'
export { put, type Waited, wait } from './api/objects.js'
export type { PlaceOptions } from './api/place-options.js'
export { PlacementGroup, placementGroup } from './api/placement-group.js'
export { ObjectRef } from './api/ref.js'
export { type AnyFunction, type RefsOf, type RemoteFunction, remote, type TaskOptions } from './api/remote.js'
export type { MethodGroup, SpawnOptions } from './api/spawn-options.js'
export type {
  ActorInfo,
  Coordinates,
  Dimensions,
  GroupInfo,
  PlacementStrategy,
  TaskInfo,
} from './cluster/protocol.js'
export type { Resources } from './cluster/resources.js'
export { type CurrentCall, currentCall } from './runtime/current-call.js'
export { type CurrentActor, currentActor } from './runtime/runtime.js'

import './runtime/ref-codec.js'
import './transport/tensor-codec.js'

export { type Codec, type DecodeContext, type EncodeContext, registerCodec } from './transport/codec.js'
