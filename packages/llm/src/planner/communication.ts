import type { LinkSpec } from './cluster.js'

/** Ranks of one group: on how many nodes, and the most of them on one. */
export interface Span {
  nodes: number
  perNode: number
}

/** The links that connect the ranks of a group. */
export interface Links {
  /** Between ranks of one node. */
  inside: LinkSpec
  /** Between ranks of different nodes while one rank a node sends. */
  between: LinkSpec & { nodeBandwidth?: number }
}

const log2 = (ranks: number) => Math.ceil(Math.log2(ranks))

/**
 * Seconds of an all-reduce of `bytes` on every rank, in the cheaper of two ways (Thakur, Rabenseifner and Gropp, 2005): by
 * recursive doubling, log2(n) · (α + bytes/β), or as a reduce-scatter and an all-gather, 2 · (log2(n) · α + (n−1)/n · bytes/β).
 * On several nodes doubling goes on between them; the other way has the ranks of a node reduce-scatter first, then
 * all-reduce their parts with those of the other nodes, and gather last.
 */
export function allReduce(bytes: number, span: Span, links: Links): number {
  const { nodes, perNode } = span
  const between = among(links, perNode)
  const part = bytes / perNode
  const scattered =
    2 * exchange(bytes, perNode, links.inside) +
    Math.min(2 * exchange(part, nodes, between), doubling(part, nodes, between))
  return Math.min(scattered, doubling(bytes, perNode, links.inside) + doubling(bytes, nodes, between))
}

/** Seconds of an all-gather whose result is `bytes`: log2(n) · α + (n−1)/n · bytes/β, over the slowest link. */
export function allGather(bytes: number, span: Span, links: Links): number {
  const ranks = span.nodes * span.perNode
  if (ranks === 1) return 0
  return exchange(bytes, ranks, slowest(span, links))
}

/** Seconds of an all-to-all in which every rank sends `bytes` altogether, all at once: α + bytes/β. */
export function allToAll(bytes: number, span: Span, links: Links): number {
  return message(bytes, slowest(span, links))
}

/** Seconds of a message: α + bytes/β. */
export function message(bytes: number, link: LinkSpec): number {
  return link.latency + bytes / link.bandwidth
}

/** A rank's share of the links that its group's slowest messages take, when all ranks send. */
export function slowest(span: Span, links: Links): LinkSpec {
  return span.nodes > 1 ? among(links, span.perNode) : links.inside
}

/** The link between nodes as each of `senders` ranks of a node has it. */
export function among({ between }: Links, senders: number): LinkSpec {
  const { latency, bandwidth, nodeBandwidth = Number.POSITIVE_INFINITY } = between
  return { latency, bandwidth: Math.min(bandwidth, nodeBandwidth / senders) }
}

function exchange(bytes: number, ranks: number, { latency, bandwidth }: LinkSpec): number {
  return log2(ranks) * latency + (((ranks - 1) / ranks) * bytes) / bandwidth
}

function doubling(bytes: number, ranks: number, link: LinkSpec): number {
  return log2(ranks) * message(bytes, link)
}
