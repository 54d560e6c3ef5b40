// A site with a login. Try it: `node app.js`, and open http://localhost:3001
import { createHash, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import process from "node:process";

const {
  ISSUER = "http://localhost:3000",
  APP = "http://localhost:3001",
  GATEWAY = "http://localhost:8080",
} = process.env;
const CLIENT = `Basic ${btoa("app:a-secret-for-a-try")}`;
const page = readFileSync(new URL("page.html", import.meta.url), "utf8");

// Behind TLS, add "Secure", and the prefix "__Host-" to the name of the cookie "token".
const cookie = (name, value, path, seconds, sameSite = "Strict") =>
  `${name}=${value}; Path=${path}; Max-Age=${seconds}; HttpOnly; SameSite=${sameSite}`;
const cookieIn = (request, name) =>
  new RegExp(`(?:^|; )${name}=([^;]*)`).exec(request.headers.cookie ?? "")?.[1] ?? "";
const hash = (text) => createHash("sha256").update(text).digest("base64url");

const routes = {
  "GET /": (_, response) => {
    response.setHeader("Content-Type", "text/html");
    response.end(page.replaceAll("GATEWAY", GATEWAY));
  },

  // To the provider. Only this browser knows the verifier, so nobody can log it in as somebody else (PKCE).
  "GET /login": (_, response) => {
    const verifier = randomBytes(32).toString("base64url");
    const query = new URLSearchParams({
      response_type: "code",
      client_id: "app",
      redirect_uri: `${APP}/callback`,
      scope: "openid offline_access",
      prompt: "consent",
      resource: GATEWAY,
      state: hash(`state ${verifier}`),
      code_challenge: hash(verifier),
      code_challenge_method: "S256",
    });
    response.setHeader("Set-Cookie", cookie("verifier", verifier, "/callback", 600, "Lax"));
    response.writeHead(303, { Location: `${ISSUER}/auth?${query}` }).end();
  },

  // Back from the provider: the code becomes tokens.
  "GET /callback": async (request, response, query) => {
    const verifier = cookieIn(request, "verifier");
    if (query.get("state") !== hash(`state ${verifier}`)) return response.writeHead(400).end();
    await renew(response, {
      grant_type: "authorization_code",
      code: query.get("code") ?? "",
      redirect_uri: `${APP}/callback`,
      code_verifier: verifier,
    });
    response.writeHead(303, { Location: "/" }).end();
  },

  // A new token, for the page's auth frames and for the cookie.
  "POST /token": async (request, response) => {
    if (request.headers["sec-fetch-site"] !== "same-origin") return response.writeHead(403).end();
    const refresh_token = cookieIn(request, "refresh");
    if (refresh_token === "") return response.writeHead(401).end();
    response.end(await renew(response, { grant_type: "refresh_token", refresh_token }));
  },
};

/** Asks the provider for tokens, keeps them in cookies that scripts can't read, and returns the access token. */
async function renew(response, parameters) {
  const answer = await fetch(`${ISSUER}/token`, {
    method: "POST",
    headers: { Authorization: CLIENT },
    body: new URLSearchParams({ ...parameters, resource: GATEWAY }),
  });
  if (!answer.ok) throw new Error(`the provider said ${answer.status}: ${await answer.text()}`);
  const { access_token, refresh_token, expires_in } = await answer.json();
  response.setHeader("Set-Cookie", [
    cookie("token", access_token, "/", expires_in), // the gateway reads it
    cookie("refresh", refresh_token, "/token", 86_400),
  ]);
  return access_token;
}

const server = createServer(async (request, response) => {
  const { pathname, searchParams } = new URL(request.url ?? "/", APP);
  const route = routes[`${request.method} ${pathname}`];
  try {
    if (route === undefined) response.writeHead(404).end();
    else await route(request, response, searchParams);
  } catch (error) {
    process.stderr.write(`${error}\n`);
    response.writeHead(502).end();
  }
});
server.listen(Number(new URL(APP).port), "localhost", () => {
  process.stdout.write(`Listening on ${APP}\n`);
});
