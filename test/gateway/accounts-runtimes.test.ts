import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { RUNTIMES, runProgram } from "../support/host-program.ts";
import { type NatsServer, startNatsServer } from "../support/nats-server.ts";

const factsOf = (run: number) => [
  ["heard", [`main ${run}`, `acme ${run}`]],
  ["posted", [202, 202]],
  ["heard in the account", "program.posted"],
  ["of an unknown account", 403],
  ["open", ["acme"]],
  ["open after the stop", []],
];

describe.each(RUNTIMES)("Accounts of a mounted gateway on %s", (name) => {
  let main: NatsServer;
  let acme: NatsServer;
  beforeAll(async () => {
    main = await startNatsServer();
    acme = await startNatsServer();
  });
  afterAll(async () => {
    await main.stop();
    await acme.stop();
  });

  test("are chosen by the hook of its host, and opened anew after each start", async () => {
    const env = { MAIN_URL: main.url, ACME_URL: acme.url };
    const told = await runProgram(name, "test/gateway/accounts-program.ts", env);
    expect(told).toEqual([...factsOf(1), ...factsOf(2)]);
  });
});
