/** NATS in trouble, on the three runtimes: what becomes of clients does not depend on their sockets. */
import { contract } from "../contract/suite/contract.ts";
import { natsFaults } from "../contract/suite/nats-faults.ts";
import { TARGETS } from "../support/runtimes.ts";

for (const target of [TARGETS.bun, TARGETS.deno, TARGETS.node]) contract(target, [natsFaults]);
