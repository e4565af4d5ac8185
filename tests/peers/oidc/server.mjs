// A provider of OpenID Connect for the tests: oidc-provider as it is published, with people who sign in
// without being asked. The tokens of some are forged on their way out, as one in other hands would.
//   node server.mjs PORT REDIRECT_URI ALGORITHM CLAIMS_IN(userinfo|token)

import { createServer } from "node:http";
import { SignJWT, decodeJwt, exportJWK, generateKeyPair } from "jose";
import Provider from "oidc-provider";

const [port, redirectUri, algorithm, claimsIn] = process.argv.slice(2);
const issuer = `http://127.0.0.1:${port}`;
const SECRET = "a secret of the tests: 32 bytes & more";

const { privateKey } = await generateKeyPair(algorithm, { extractable: true });
const { privateKey: otherKey } = await generateKeyPair(algorithm);
// oidc-provider wants one of RSA for itself, whatever the client asks for.
const { privateKey: spareKey } = await generateKeyPair("RS256", { extractable: true });
const key = { ...(await exportJWK(privateKey)), kid: "1", alg: algorithm, use: "sig" };
const spare = { ...(await exportJWK(spareKey)), kid: "spare", alg: "RS256", use: "sig" };

/** By the name with which they sign in, which is also their subject. */
const people = {
  ana2: { email: "ana@example.com", email_verified: true },
  unverified: { email: "ana@example.com", email_verified: false },
  nameless: {},
  unknown: { email: "nobody@example.com", email_verified: true },
  eve: { email: "eve@example.com", email_verified: true },
};
const claimsOf = (name) => people[name] ?? { email: "ana@example.com", email_verified: true };

const provider = new Provider(issuer, {
  jwks: { keys: algorithm === "RS256" ? [key] : [key, spare] },
  clients: [
    {
      client_id: "sendtrail",
      client_secret: SECRET,
      redirect_uris: [redirectUri],
      id_token_signed_response_alg: algorithm,
    },
  ],
  cookies: { keys: ["of the tests"] },
  claims: { email: ["email", "email_verified"] },
  conformIdTokenClaims: claimsIn === "userinfo",
  features: { devInteractions: { enabled: false } },
  interactions: { url: (_context, interaction) => `/interaction/${interaction.uid}` },
  pkce: { required: () => true },
  findAccount: (_context, id) => ({ accountId: id, claims: () => ({ sub: id, ...claimsOf(id) }) }),
});

/** Signs in whoever the cookie `who` names. */
async function interact(request, response) {
  const { params } = await provider.interactionDetails(request, response);
  const name = /(?:^|; )who=([^;]*)/.exec(request.headers.cookie ?? "")?.[1];
  let result = { error: "access_denied", error_description: "stopped" };
  if (name && name !== "stopped") {
    const grant = new provider.Grant({ accountId: name, clientId: params.client_id });
    grant.addOIDCScope("openid email");
    result = { login: { accountId: name }, consent: { grantId: await grant.save() } };
  }
  await provider.interactionFinished(request, response, result, { mergeWithLastSubmission: false });
}

const part = (json) => Buffer.from(JSON.stringify(json)).toString("base64url");

async function signed(claims, header = {}, by = privateKey) {
  return new SignJWT(claims).setProtectedHeader({ alg: algorithm, kid: "1", ...header }).sign(by);
}

/** What becomes of the ID token of these people. */
const forgeries = {
  "other-key": (claims) => signed(claims, {}, otherKey),
  "unknown-key": (claims) => signed(claims, { kid: "2" }, otherKey),
  nonce: (claims) => signed({ ...claims, nonce: "another" }),
  audience: (claims) => signed({ ...claims, aud: "another" }),
  party: (claims) => signed({ ...claims, aud: ["sendtrail", "another"], azp: "another" }),
  issuer: (claims) => signed({ ...claims, iss: "https://login.example.com" }),
  expired: (claims) => signed({ ...claims, exp: claims.iat - 61 }),
  future: (claims) => signed({ ...claims, iat: claims.iat + 300 }),
  unsigned: async (claims) => `${part({ alg: "none" })}.${part(claims)}.`,
  secret: (claims) => signed(claims, { alg: "HS256" }, new TextEncoder().encode(SECRET)),
};

async function changed(path, body) {
  if (path === "/token" && body.id_token) {
    const claims = decodeJwt(body.id_token);
    const forge = forgeries[claims.sub];
    if (forge) return { ...body, id_token: await forge(claims) };
  }
  if (path === "/me" && body.sub === "switched") return { ...body, sub: "ana" };
  return body;
}

const answer = provider.callback();
createServer((request, response) => {
  const path = new URL(request.url, issuer).pathname;
  if (path.startsWith("/interaction/")) {
    interact(request, response).catch((error) => response.writeHead(500).end(String(error)));
    return;
  }
  if (["/token", "/me"].includes(path)) {
    const end = response.end.bind(response);
    response.end = (body) => {
      let json;
      try {
        json = JSON.parse(body);
      } catch {
        return end(body);
      }
      changed(path, json).then((next) => {
        const text = JSON.stringify(next);
        response.setHeader("content-length", Buffer.byteLength(text));
        end(text);
      });
      return response;
    };
  }
  answer(request, response);
}).listen(Number(port), "127.0.0.1");
