import {
  fanOut,
  flushing,
  growth,
  idle,
  pairs,
  returning,
  stalling,
  start,
  storm,
} from "./block-kinds.ts";
import {
  acknowledging,
  atLeastOnce,
  batches,
  compression,
  governor,
  subjects,
} from "./client-blocks.ts";
import type { Contender } from "./contenders/contender.ts";
import { bare, natsListener, socketIo, wsLoop } from "./contenders/controls.ts";
import { spillway } from "./contenders/spillway.ts";
import type { Block } from "./plan.ts";

/** The default sockets of each runtime, and what they are compared with. */
const OURS = [spillway("bun", "node"), spillway("node", "node"), spillway("deno", "node")];
const BARE = [bare("bun", "node"), bare("node", "node"), bare("deno", "node")];
const NATIVE = [spillway("bun", "native"), spillway("deno", "native")];
const BARE_NATIVE = [bare("bun", "native"), bare("deno", "native")];
const PEERS = [wsLoop, socketIo];
/** What all are compared with, and ours. */
const FEW = [natsListener, ...OURS];
/** Each control before what it is the control of. */
const WITH_BARE = [natsListener, ...pairs(BARE, OURS)];

const MANY = 10_000;

/** Of a full run; see `plan.ts`. */
export function fullBlocks(reference: Contender | undefined): Block[] {
  const c = reference === undefined ? [] : [reference];
  return [
    fanOut(100, 128, (rate) => {
      if (rate === undefined) return [...c, ...PEERS, ...WITH_BARE, ...NATIVE];
      if (rate === 10_000) return [...PEERS, ...FEW, ...NATIVE];
      return [...FEW, ...(rate === 30_000 ? [] : PEERS)];
    }),
    fanOut(100, 1024, () => FEW),
    fanOut(1_000, 128, (rate) => (isOverload(rate) ? OURS : FEW)),
    fanOut(1_000, 1024, (rate) => (isOverload(rate) ? OURS : FEW)),
    flushing(["0s", "1ms", "2ms", "5ms"], OURS),
    growth([100, 1_000, MANY], [...c, ...OURS]),
    stalling(OURS),
    governor([natsListener, ...OURS]),
    subjects(OURS),
    atLeastOnce(OURS),
    acknowledging(OURS),
    batches([spillway("node", "node"), ...NATIVE]),
    compression([...OURS, spillway("bun", "native")]),
    idle(pairs([...BARE, ...BARE_NATIVE], [...OURS, ...NATIVE])),
    storm([natsListener, ...OURS]),
    returning([natsListener, ...OURS]),
    start([natsListener, ...OURS, ...NATIVE]),
  ];
}

/** A thousand clients at these rates are several times what any machine's core can carry. */
function isOverload(rate: number | undefined): boolean {
  return rate === 30_000 || rate === 60_000;
}

/** Of a quick run: what the targets are about. */
export function quickBlocks(reference: Contender | undefined): Block[] {
  const c = reference === undefined ? [] : [reference];
  return [
    fanOut(100, 128, (rate) => (rate === undefined ? [...c, ...WITH_BARE] : FEW), [
      1_000,
      10_000,
      60_000,
      undefined,
    ]),
    growth([100, MANY], [...c, ...OURS]),
    stalling(OURS),
    atLeastOnce(OURS),
    // One of them, as it takes long.
    governor([spillway("node", "node")]),
    idle(pairs(BARE, OURS)),
    start(OURS),
  ];
}
