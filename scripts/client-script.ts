/** The source of `src/http/client-script.generated.ts`: the client in one file, for pages. */
import { createHash } from "node:crypto";
import { VERSION } from "../src/gateway/version.ts";
import { bundle } from "./bundle.ts";

/** Returns the source text. */
export function clientScript(): string {
  const client = bundle({ file: "src/client/mod.ts", minify: true });
  const script = `/* spillway/client ${VERSION} */\n${client}`;
  const hash = createHash("sha256").update(script).digest("base64url").slice(0, 22);
  return `// Made by \`npm run docs\` from src/client. Do not edit.

/** The client, as \`GET /client.js\` serves it. */
export const CLIENT_SCRIPT: string = ${JSON.stringify(script)};

/** The hash of the script. */
export const CLIENT_SCRIPT_HASH: string = ${JSON.stringify(hash)};
`;
}
