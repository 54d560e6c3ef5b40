// An OpenID Connect provider for a try: it lets everybody in, with any password. Try it: `node provider.js`
// Yours is another one: it needs the client and the resource, and claims that say what a user may do.
import process from "node:process";
import Provider from "oidc-provider";

const {
  ISSUER = "http://localhost:3000",
  APP = "http://localhost:3001",
  GATEWAY = "http://localhost:8080",
} = process.env;

const provider = new Provider(ISSUER, {
  clients: [
    {
      client_id: "app",
      client_secret: "a-secret-for-a-try",
      redirect_uris: [`${APP}/callback`],
      grant_types: ["authorization_code", "refresh_token"],
    },
  ],
  cookies: { keys: ["another-secret-for-a-try"] },
  rotateRefreshToken: true,
  ttl: { AccessToken: 300, RefreshToken: 86_400 },
  features: {
    // Access tokens for the gateway are JSON Web Tokens (RFC 9068), with the gateway as their audience.
    resourceIndicators: {
      defaultResource: () => GATEWAY,
      getResourceServerInfo: () => ({ scope: "", accessTokenFormat: "jwt", audience: GATEWAY }),
      useGrantedResource: () => true,
    },
  },
  formats: {
    customizers: {
      jwt(_, __, { payload }) {
        payload.authorization_details = [
          {
            type: "spillway",
            actions: ["subscribe", "publish"],
            subjects: { allow: ["orders.{sub}.>"] },
          },
        ];
      },
    },
  },
});

provider.listen(Number(new URL(ISSUER).port), "localhost", () => {
  process.stdout.write(`Listening on ${ISSUER}\n`);
});
