/** Streams on the oldest nats-server that we work with, whatever stands on the PATH. */
import { afterAll, beforeAll, describe } from "bun:test";
import { findOldestNatsServer } from "../../scripts/install-nats-server.ts";
import { contract } from "../contract/suite/contract.ts";
import { jetstreamRefusals } from "../contract/suite/jetstream-refusals.ts";
import { oddMessages } from "../contract/suite/odd-messages.ts";
import { streamFaults } from "../contract/suite/stream-faults.ts";
import { streamSubjects } from "../contract/suite/stream-subjects.ts";
import { streams } from "../contract/suite/streams.ts";
import { TARGETS } from "../support/runtimes.ts";

const oldest = findOldestNatsServer();
const name =
  oldest === undefined
    ? "nats-server 2.9 (left out: neither NATS_SERVER_OLDEST nor Go is there)"
    : "nats-server 2.9";

describe.skipIf(oldest === undefined)(name, () => {
  const usual = process.env.NATS_SERVER;
  beforeAll(() => {
    process.env.NATS_SERVER = oldest;
  });
  afterAll(() => {
    if (usual === undefined) delete process.env.NATS_SERVER;
    else process.env.NATS_SERVER = usual;
  });

  contract(TARGETS.bun, [streams, streamFaults, streamSubjects, jetstreamRefusals, oddMessages]);
});
