export { type Calibration, calibrate } from './calibration/calibrate.js'
export { type ChosenPlan, choosePlan, type PlanRequest } from './choose-plan.js'
export { type ClusterSpec, countDevices, type DeviceSpec, type LinkSpec, type NodeGroup, type Rate } from './cluster.js'
export { checkFormats, readClusterFile } from './cluster-file.js'
export { type DeploymentRequest, deploymentFor } from './deploy.js'
export {
  type CacheSizes,
  type Deployment,
  type DeploymentSizes,
  type ReplicaGroup,
  type WorkerPlacement,
  workersOf,
} from './deployment.js'
export type { Cost, SequenceScheme } from './layer-cost.js'
export type { WorkerMemory } from './memory.js'
export { type ModelShape, readModelShape, type WeightFormat } from './model-shape.js'
export type { Dimension, NodeShare } from './placement.js'
export { explain, planName } from './reason.js'
export type { StagePrediction } from './replica-simulation.js'
export { type SearchOptions, type SearchResult, searchPlans } from './search.js'
export { type Candidate, type InfeasiblePlan, type Prediction, Simulator, type SimulatorOptions } from './simulate.js'
export type { Objective, Workload } from './workload.js'
