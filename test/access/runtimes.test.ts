import { describe, expect, test } from "bun:test";
import { RUNTIMES, runProgram } from "../support/host-program.ts";

const EXPECTED = [
  ["static token", "u_1"],
  ["unknown token", "nobody"],
  ["password", "ann"],
  ["wrong password", "The user or the password is wrong"],
  ["RS256", "u_2"],
  ["PS256", "u_2"],
  ["ES256", "u_2"],
  ["EdDSA", "u_2"],
  ["expired", "The token has expired"],
  ["moved keys", "The token can't be checked now: the keys of its issuer can't be loaded"],
];

describe.each(RUNTIMES)("Clients on %s", (name) => {
  test("prove who they are by tokens, passwords and JSON Web Tokens", async () => {
    expect(await runProgram(name, "test/access/identity-program.ts")).toEqual(EXPECTED);
  });
});
