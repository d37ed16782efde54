export {
  actor,
  type Constructor,
  getActor,
  type MemberPlace,
  type NameOptions,
  RemoteClass,
} from './api/actor.js'
export { Cluster, type ConnectOptions, connect, type NodeInfo } from './api/cluster.js'
export { communicator, type GroupOptions, Invitation, type JoinOptions } from './api/communicator.js'
export { type CurrentActor, currentActor } from './api/current-actor.js'
export { type CurrentCall, currentCall } from './api/current-call.js'
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
export { isMain } from './api/main-module.js'
export { Mesh, type MeshAnswer, type MeshMember } from './api/mesh.js'
export { type PutOptions, put, type Waited, wait } from './api/objects.js'
export type { PlaceOptions } from './api/place-options.js'
export { PlacementGroup, placementGroup } from './api/placement-group.js'
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
} from './common/errors.js'
export type { ActorFailure, ActorHooks, Decision, Restart } from './common/hooks.js'
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
export type { Coordinates, Dimensions, Isolation } from './protocol/actor.js'
export type { ActorInfo, ActorStack, ObjectInfo, ProcessInfo, Stack, TaskInfo } from './protocol/listing.js'
export type { GroupInfo, PlacementStrategy } from './protocol/placement.js'
export type { Resources } from './protocol/resources.js'
export type { CallOptions } from './runtime/call-options.js'
export { ObjectRef } from './runtime/ref.js'
export type { StoreOptions } from './store/store.js'

import { startLocalActorsBy } from './runtime/local-actors.js'
import './runtime/ref-codec.js'
import './transport/tensor-codec.js'

export { type Codec, type DecodeContext, type EncodeContext, registerCodec } from './transport/codec.js'

startLocalActorsBy(async (processId, owner) => {
  const { startLocal } = await import('./worker/local.js')
  await startLocal(processId, owner)
})
