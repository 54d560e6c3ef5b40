// Serves the page of an example that needs no build.
// Try it: `node examples/site.js examples/plain-page`
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { join } from "node:path";
import process from "node:process";

const [, , folder = "examples/plain-page"] = process.argv;
const { PORT = "3001", GATEWAY = "localhost:8080" } = process.env;

const server = createServer(async ({ url }, response) => {
  if (url === "/") {
    const page = await readFile(join(folder, "page.html"), "utf8");
    response.setHeader("Content-Type", "text/html; charset=utf-8");
    response.end(page.replaceAll("localhost:8080", GATEWAY));
  } else {
    response.statusCode = 404;
    response.end();
  }
});
server.listen(Number(PORT), "localhost", () => {
  process.stdout.write(`Listening on http://localhost:${PORT}\n`);
});
process.once("SIGTERM", () => {
  server.close();
  server.closeAllConnections();
});
