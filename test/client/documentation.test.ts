import { expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** The declarations that the page's code has around it. */
const SURROUNDINGS = `
import { type Connection, connect, GapError, presence, type SpillwayError, type StandardSchema, shared, type Subscription, webSocketOrEvents, webStorageCursors } from "spillway/client";
import { useConnectionState, useStream } from "spillway/react";
import { useSyncExternalStore } from "react";
interface Order { id: number; total: number }
interface Price { value: number }
interface Job { name: string }
interface Prices { readonly [subject: string]: number }
declare const url: string;
declare const connection: Connection;
declare const orders: Subscription<Order>;
declare const OrderSchema: StandardSchema<Order>;
declare function show(order: Order): void;
declare function reload(reason: string): void;
declare function fetchToken(): Promise<string>;
declare function render(value: unknown): void;
declare function report(...facts: unknown[]): void;
declare function badge(state: string): void;
declare function work(job: Job): Promise<void>;
declare const AppState: { readonly currentState: string; addEventListener(type: "change", listener: (state: string) => void): { remove(): void } };
declare const NetInfo: { addEventListener(listener: (state: { readonly isConnected: boolean | null }) => void): () => void };
`;

/** Compiles pieces of code, each as the body of a function. @returns what the compiler says. */
function complaints(pieces: readonly string[]): string {
  const folder = mkdtempSync(join(tmpdir(), "spillway-client-page-"));
  try {
    const { compilerOptions } = JSON.parse(readFileSync(`${ROOT}tsconfig.json`, "utf8"));
    const options = {
      ...compilerOptions,
      paths: {
        "spillway/client": [`${ROOT}src/client/mod.ts`],
        "spillway/react": [`${ROOT}src/client/react.ts`],
        react: [`${ROOT}test/node_modules/@types/react/index.d.ts`],
        "react/jsx-runtime": [`${ROOT}test/node_modules/@types/react/jsx-runtime.d.ts`],
      },
      jsx: "react-jsx",
      types: [],
      lib: ["ES2023", "DOM", "DOM.Iterable", "DOM.AsyncIterable"],
      noUnusedLocals: false,
    };
    writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions: options }));
    writeFileSync(join(folder, "package.json"), JSON.stringify({ type: "module" }));
    for (const [index, piece] of pieces.entries()) {
      const body = piece.replace(/^import .*$/gm, "");
      const code = `${SURROUNDINGS}export async function piece() {\n${body}\n}\n`;
      writeFileSync(join(folder, `piece-${index + 1}.tsx`), code);
    }
    const compiler = `${ROOT}node_modules/typescript/bin/tsc`;
    const { stdout } = Bun.spawnSync([process.execPath, compiler, "-p", folder], { cwd: folder });
    return stdout.toString();
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test.each([
  ["docs/client.md", 9],
  ["docs/migrating.md", 4],
])("The code of %s fits the types of the client", (page, least) => {
  const text = readFileSync(`${ROOT}${page}`, "utf8");
  const pieces = [...text.matchAll(/^```tsx?\n(.*?)^```$/gms)].map(([, code]) => code!);
  expect(pieces.length).toBeGreaterThanOrEqual(least);
  expect(complaints(pieces)).toBe("");
  expect(complaints(["connection.subscribe(7);"])).toContain("TS2345");
});
