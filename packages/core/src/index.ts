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
  AccessDeniedError,
  ActorDiedError,
  ActorUnreachableError,
  CancelledError,
  ChannelClosedError,
  ClusterLostError,
  DeadlineExceededError,
  DeadlockError,
  GraphClosedError,
  InvalidInputError,
  NodeUnreachableError,
  ObjectLostError,
  PortInUseError,
  QueueFullError,
  StoreFullError,
  TroupeError,
  UnawaitedFailureError,
  UnhandledFailureError,
  WorkerDiedError,
} from './api/errors.js'
export {
  type ActorDescription,
  describeActor,
  type Handle,
  killActor,
  type MethodName,
  type RemoteArguments,
  type RemoteCall,
  type RemoteMethod,
  type RemoteMethods,
  type RemoteResult,
  stopActor,
  withOptions,
} from './api/handle.js'
export type { ActorFailure, ActorHooks, Decision, Restart } from './api/hooks.js'
export { isMain } from './api/main-module.js'
export { Mesh, type MeshAnswer, type MeshMember } from './api/mesh.js'
export { type PutOptions, put, type Waited, wait } from './api/objects.js'
export type { PlaceOptions } from './api/place-options.js'
export { PlacementGroup, placementGroup } from './api/placement-group.js'
export { ObjectRef } from './api/ref.js'
export {
  type AnyFunction,
  type RefsOf,
  type RemoteFunction,
  remote,
  type TaskOptions,
  type TaskVariants,
} from './api/remote.js'
export type { CannotBeSent, Sendable } from './api/sendable.js'
export type { MethodGroup, SpawnOptions } from './api/spawn-options.js'
export { Channel, type ChannelOptions, type ChannelReader } from './channel/channel.js'
export type {
  ActorInfo,
  ActorStack,
  Coordinates,
  Dimensions,
  GroupInfo,
  Isolation,
  ObjectInfo,
  PlacementStrategy,
  ProcessInfo,
  Stack,
  TaskInfo,
} from './cluster/protocol.js'
export type { Resources } from './cluster/resources.js'
export type { ChromeEvent, ChromeTrace } from './graph/chrome-trace.js'
export {
  type Graph,
  type GraphInputs,
  type GraphOptions,
  type GraphResult,
  graph,
  type StreamItem,
} from './graph/graph.js'
export { allGather, allReduce, reduceScatter } from './graph/trace.js'
export { type CurrentCall, currentCall } from './runtime/current-call.js'
export { type CurrentActor, currentActor } from './runtime/runtime.js'
export type { StoreOptions } from './store/store.js'

import './runtime/ref-codec.js'
import './transport/tensor-codec.js'

export { type Codec, type DecodeContext, type EncodeContext, registerCodec } from './transport/codec.js'
