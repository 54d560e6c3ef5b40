import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { subjectMatches } from "../../src/core/subject/subject.ts";
import { type ConsoleOptions, consolePage } from "../../src/http/console-page.ts";
import { consoleRoutes } from "../../src/http/console-routes.ts";
import { subjectFault } from "../../src/protocol/subject.ts";

const OPTIONS: ConsoleOptions = {
  path: "/ws",
  subjects: [">"],
  publish: true,
  acknowledges: false,
  takesToken: false,
};

function pageOf(options: Partial<ConsoleOptions> = {}): string {
  return consolePage({ ...OPTIONS, nonce: "n0nce", ...options });
}

/** What an attribute holds, as a browser reads it. */
function attribute(page: string, name: string): string {
  const [, value = ""] = new RegExp(` ${name}="([^"]*)"`).exec(page) ?? [];
  return value
    .replaceAll("&quot;", '"')
    .replaceAll("&lt;", "<")
    .replaceAll("&gt;", ">")
    .replaceAll("&amp;", "&");
}

function scriptOf(page: string): string {
  return /<script type="module" nonce="n0nce">([\s\S]*)<\/script>/.exec(page)?.[1] ?? "";
}

/** A module may wait for others. */
const AsyncFunction = (async () => {}).constructor as FunctionConstructor;

describe("Console page", () => {
  test("Page names no other address", () => {
    const page = pageOf().replaceAll("http://www.w3.org/2000/svg", "");
    expect(page).not.toMatch(/https?:\/\/|@import|url\(| src=/);
  });

  test("Script is valid, and writes text alone into the page", () => {
    for (const publish of [true, false]) {
      const script = scriptOf(pageOf({ publish, takesToken: publish }));
      expect(() => new AsyncFunction(script)).not.toThrow();
      expect(script).not.toMatch(/innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(/);
    }
  });

  test("Options cannot leave the attributes that they stand in", () => {
    const attack = `"><script>alert(1)</script>&amp;`;
    const page = pageOf({ path: `/${attack}`, subjects: [attack], publish: false });
    expect(page.match(/<script/g)).toHaveLength(1);
    expect(attribute(page, "data-path")).toBe(`/${attack}`);
    expect(attribute(page, "placeholder")).toBe(attack);
  });

  test("Page asks for a token only where clients show one", () => {
    expect(pageOf()).not.toContain('<form id="access">');
    expect(pageOf({ takesToken: true })).toContain('<form id="access">');
  });

  test("Page has a form to publish only where posting is on", () => {
    expect(pageOf()).toContain('<form id="publish">');
    expect(scriptOf(pageOf())).toContain("/publish/");
    const page = pageOf({ publish: false });
    expect(page).not.toContain('<form id="publish">');
    expect(page).toContain("From NATS");
    expect(scriptOf(page)).not.toContain("/publish/");
  });

  for (const [pattern, subject] of [
    [">", "demo.hello"],
    ["orders.>", "orders.hello"],
    ["*.eu.*", "hello.eu.hello"],
    ["orders.new", "orders.new"],
  ] as const) {
    test(`Page proposes ${subject} where ${pattern} is carried`, () => {
      const page = pageOf({ subjects: [pattern, "other.>"] });
      expect(attribute(page, "value")).toBe(subject);
      const demo = JSON.parse(attribute(page, "data-demo")) as string[];
      expect(demo.every((one) => subjectMatches(pattern, one))).toBe(true);
    });
  }

  test("Filter takes what the server takes for a list of subjects", () => {
    const accepted = new RegExp(`^(?:${attribute(pageOf(), "pattern")})$`, "v");
    const text = fc.string({
      unit: fc.constantFrom("a", "é", ".", "*", ">", ",", " "),
      maxLength: 12,
    });
    const isList = (list: string): boolean =>
      list.split(",").every((subject) => subjectFault(subject.trim(), true) === undefined);
    fc.assert(
      fc.property(text, (list) => {
        expect(accepted.test(list)).toBe(isList(list));
      }),
      { numRuns: 2000 },
    );
  });
});

describe("Console routes", () => {
  const policyOf = (response: Response): string =>
    response.headers.get("content-security-policy") ?? "";

  test("Page runs under a policy that knows its own script and style alone", async () => {
    const response = await consoleRoutes(() => OPTIONS).request("/");
    const page = await response.text();
    const nonces = Array.from(page.matchAll(/nonce="([^"]+)"/g), ([, nonce]) => nonce!);
    expect(nonces).toHaveLength(2);
    expect(new Set(nonces).size).toBe(1);
    expect(policyOf(response).split("; ").toSorted()).toEqual([
      "base-uri 'none'",
      "connect-src 'self'",
      "default-src 'none'",
      "form-action 'none'",
      "frame-ancestors 'none'",
      "img-src data:",
      "require-trusted-types-for 'script'",
      `script-src 'nonce-${nonces[0]}'`,
      `style-src 'nonce-${nonces[0]}'`,
      "trusted-types 'none'",
    ]);
  });

  test("No two responses have the same nonce, and none is stored", async () => {
    const routes = consoleRoutes(() => OPTIONS);
    const responses = [await routes.request("/"), await routes.request("/")];
    expect(new Set(responses.map(policyOf)).size).toBe(2);
    expect(responses.map(({ headers }) => headers.get("cache-control"))).toEqual([
      "no-store",
      "no-store",
    ]);
  });

  test("Page does not decide that its whole host uses TLS alone", async () => {
    const { headers } = await consoleRoutes(() => OPTIONS).request("https://example.com/");
    expect(headers.has("strict-transport-security")).toBe(false);
  });
});
