export { actor, type Constructor, type MemberPlace, RemoteClass, type SpawnOptions } from './api/actor.js'
export { Cluster, type ConnectOptions, connect, type NodeInfo } from './api/cluster.js'
export {
  ActorDiedError,
  ClusterLostError,
  InvalidInputError,
  NodeUnreachableError,
  PortInUseError,
  TroupeError,
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
} from './api/handle.js'
export { Mesh, type MeshAnswer, type MeshMember } from './api/mesh.js'
export { ObjectRef } from './api/ref.js'
export type { Coordinates, Dimensions } from './cluster/protocol.js'
export { type CurrentActor, currentActor } from './runtime/runtime.js'

import './transport/tensor-codec.js'

export { type Codec, type DecodeContext, type EncodeContext, registerCodec } from './transport/codec.js'
