import { expect, test } from "bun:test";
import { createServer } from "node:net";
import { cannotListen } from "../../src/runtime/listen-error.ts";

function failedWith(code: string): Error {
  return Object.assign(new Error(`listen ${code}`), { code });
}

test.each([
  ["EADDRINUSE", "the port is in use"],
  ["EACCES", "this user may not listen on port 0"],
  ["EMFILE", "raise the limit (ulimit -n)"],
  ["EAFNOSUPPORT", "this machine has no IPv4"],
  ["EADDRNOTAVAIL", "127.0.0.1 is not an address of this machine"],
  ["ESOMETHING", "listen ESOMETHING"],
])("%s says what is wrong", async (code, says) => {
  const { message } = await cannotListen("127.0.0.1", 0, failedWith(code));
  expect(message).toStartWith("Cannot listen on 127.0.0.1:0: ");
  expect(message).toContain(says);
});

test("What the system says when it is asked again counts more than a runtime's error", async () => {
  const taken = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => taken.once("listening", resolve));
  const { port } = taken.address() as { port: number };
  const misled = failedWith("EINVAL");
  for (const host of ["127.0.0.1", "localhost"]) {
    expect((await cannotListen(host, port, misled)).message).toContain("the port is in use");
  }
  // Bun reports this code for names that it can't resolve.
  const { message } = await cannotListen("nobody.invalid", port, failedWith("EADDRINUSE"));
  expect(message).toContain('the host name "nobody.invalid" is unknown');
  taken.close();
});

test("An IPv6 address stands in brackets", async () => {
  const { message } = await cannotListen("2001:db8::9", 8080, failedWith("EADDRNOTAVAIL"));
  expect(message).toStartWith("Cannot listen on [2001:db8::9]:8080: 2001:db8::9 is not");
});
