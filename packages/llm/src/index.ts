export { PRECISIONS, PROGRAM_DEVICES, type Precision, type ProgramDevice } from '@troupe/tensor'
export type { GenerationDefaults } from './api/defaults.js'
export type { EmbeddingParams, EmbeddingResult } from './api/embedding.js'
export type {
  ChatChoice,
  ChatChunk,
  ChatResult,
  Choice,
  FinishReason,
  GenerationChunk,
  GenerationResult,
  LogProb,
  Stream,
  TokenLogProbs,
  Usage,
} from './api/generation.js'
export { LLM, type LoadOptions } from './api/llm.js'
export type { ChatParams, GenerationParams, Structure } from './api/params.js'
export * from './chat/messages.js'
export { TOOL_CALL_FORMATS, type ToolCallFormat } from './chat/tool-calls/formats.js'
export { BlockPool } from './engine/cache.js'
export { Engine, type EngineOptions, type GenerateOptions } from './engine/engine.js'
export type { EngineWorker } from './engine/launch.js'
export type { EngineLoad } from './engine/load.js'
export { ContextLengthError, checkPrompt } from './engine/options.js'
export { InvalidParameterError } from './engine/parameter-rules.js'
export { perplexity } from './engine/perplexity.js'
export type { Pooling } from './engine/pooling.js'
export type { EndReason, GeneratedToken } from './engine/request.js'
export { LogitsError, type Sampling, type TokenMask } from './engine/sampler.js'
export type { StepResult } from './engine/scheduler.js'
export { CachedSequence, type DealtTokens } from './engine/sequence.js'
export type { LoadProgress } from './engine/stage-parts.js'
export type { StepLimits } from './engine/stage-program.js'
export { stageSpec } from './engine/stage-spec.js'
export { type EngineStatistics, type StageStatistics, type StageTimes, statisticsBetween } from './engine/statistics.js'
export {
  type CountedText,
  greedyStep,
  type Layout,
  layOut,
  type RankStep,
  type Segment,
  type Selection,
  type Step,
  type StepOutput,
} from './engine/step.js'
export { TokenStream } from './engine/token-stream.js'
export {
  type Invitations,
  ModelWorker,
  RemoteModelWorker,
  type WorkerInfo,
  type WorkerSpec,
} from './engine/worker.js'
export type { MaskVocabulary } from './grammar/mask-vocabulary.js'
export { type GrammarMask, tokenMask } from './grammar/token-mask.js'
export type { DownloadProgress } from './hub/fetch-files.js'
export { type ResolveModelOptions, resolveModel } from './hub/resolve-model.js'
export { type HubSettings, hubSettings } from './hub/settings.js'
export { type ModelConfig, readConfig } from './models/config.js'
export { architectures } from './models/decoder.js'
export type { Rotary } from './models/rotary.js'
export { checkPlan, type Divisible, type ParallelPlan, type Plan, type Range } from './parallel/plan.js'
export * from './planner/index.js'
export { type LayersAndHead, stageLayers } from './planner/stage-layers.js'
export type { ChatFiles } from './tokenizer/chat-templates.js'
export { TextStream } from './tokenizer/text-stream.js'
export { Tokenizer } from './tokenizer/tokenizer.js'
export type { TokenizerFiles } from './tokenizer/tokenizer-files.js'
export { LOAD_FORMATS, type LoadFormat } from './weights/quantize.js'
