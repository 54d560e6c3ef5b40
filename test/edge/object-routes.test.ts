import { describe, expect, test } from "bun:test";
import { ObjectRoutes } from "../../src/edge/object-routes.ts";

function requestOf(path: string, address?: string): Request {
  const headers = address === undefined ? {} : { "CF-Connecting-IP": address };
  return new Request(`https://live.example.com${path}`, { headers });
}

describe("Durable Objects that are numbered", () => {
  const routes = new ObjectRoutes(4);
  const nameOf = (address: string) => routes.of(requestOf("/ws", address))?.name;

  test("A client finds the same object again, and many clients are spread evenly", () => {
    const counts = new Map<string | undefined, number>();
    for (let n = 0; n < 4000; n++) {
      const address = `192.0.${n >> 8}.${n & 255}`;
      const name = nameOf(address);
      expect(nameOf(address)).toBe(name);
      counts.set(name, (counts.get(name) ?? 0) + 1);
    }
    expect([...counts.keys()].sort()).toEqual(["1", "2", "3", "4"]);
    for (const count of counts.values()) expect(Math.abs(count - 1000)).toBeLessThan(150);
  });

  test("A path that begins with a number is that object's, which sees the rest of it", () => {
    const route = routes.of(requestOf("/3/metrics?a=b"));
    expect(route?.name).toBe("3");
    expect(route?.request.url).toBe("https://live.example.com/metrics?a=b");
    expect(routes.of(requestOf("/3"))?.request.url).toBe("https://live.example.com/");
  });

  test("A number above the number of objects is no object", () => {
    const route = routes.of(requestOf("/5/metrics", "192.0.2.1"));
    expect(route?.name).toBe(nameOf("192.0.2.1") as string);
    expect(route?.request.url).toBe("https://live.example.com/5/metrics");
  });

  test("A request keeps its method and its headers", () => {
    const request = new Request("https://live.example.com/2/publish/a", {
      method: "POST",
      headers: { Authorization: "Bearer x" },
    });
    const route = routes.of(request);
    expect(route?.request.method).toBe("POST");
    expect(route?.request.headers.get("authorization")).toBe("Bearer x");
  });
});

describe("Durable Objects that are named", () => {
  const routes = new ObjectRoutes(["eu", "us"]);

  test.each([
    ["/eu/ws", "eu", "/ws"],
    ["/us/", "us", "/"],
    ["/us", "us", "/"],
  ])("%s is for %s", (path, name, rest) => {
    const route = routes.of(requestOf(path));
    expect(route?.name).toBe(name);
    expect(new URL(route?.request.url ?? "").pathname).toBe(rest);
  });

  test.each(["/ws", "/", "/eux/ws", "/EU/ws", "/asia/ws", "//eu/ws"])("%s is for none", (path) => {
    expect(routes.of(requestOf(path, "192.0.2.1"))).toBeUndefined();
  });
});

test.each([[0], [-1], [1.5], [Number.NaN], [[]]])("%p is no choice of objects", (choice) => {
  expect(() => new ObjectRoutes(choice)).toThrow('"objects" must be');
});

test.each([["a/b"], [""], ["a b"], ["é"]])("%p is no name of an object", (name) => {
  expect(() => new ObjectRoutes(["eu", name])).toThrow(JSON.stringify(name));
});
