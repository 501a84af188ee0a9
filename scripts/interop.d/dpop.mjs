// A real authorisation server (oidc-provider) issues a token to a real client (oauth4webapi), which signs with it.
//   dpop.mjs FOLDER: holds socket, ca.pem, cert.pem, key.pem, statement.json, and as.jwk, the server's private key.
import { readFileSync } from 'node:fs';
import { createServer, request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { join } from 'node:path';
import * as oauth from 'oauth4webapi';
import Provider from 'oidc-provider';

const [folder] = process.argv.slice(2);
const file = (name) => readFileSync(join(folder, name));
const issuer = 'https://as.example';
const api = 'https://sealwright.localhost';

// fetch over whatever `send` connects to.
const fetchBy = (send) => async (url, { method, headers, body }) => {
  const given = Object.fromEntries(new Headers(headers));
  const bytes = body === undefined ? undefined : Buffer.from(await new Response(body).arrayBuffer());
  return new Promise((resolve, reject) => {
    const outgoing = send(new URL(url), { method, headers: given }, (answer) => {
      const chunks = [];
      answer.on('data', (chunk) => chunks.push(chunk));
      answer.on('end', () =>
        resolve(new Response(Buffer.concat(chunks), { status: answer.statusCode, headers: answer.headers })));
    });
    outgoing.on('error', reject);
    outgoing.end(bytes);
  });
};

const provider = new Provider(issuer, {
  jwks: { keys: [JSON.parse(file('as.jwk'))] },
  scopes: ['signer.sign'],
  clients: [{
    client_id: 'ci', client_secret: 'secret-of-ci', grant_types: ['client_credentials'], redirect_uris: [],
    response_types: [], dpop_bound_access_tokens: true,
    // The one algorithm that its key has.
    id_token_signed_response_alg: 'ES256',
  }],
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    dPoP: { enabled: true, nonceSecret: Buffer.alloc(32, 1), requireNonce: () => true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => api,
      useGrantedResource: () => true,
      getResourceServerInfo: () => ({
        scope: 'signer.sign', audience: api, accessTokenFormat: 'jwt', accessTokenTTL: 300,
        jwt: { sign: { alg: 'ES256' } },
      }),
    },
  },
});
provider.proxy = true;
const server = createServer(provider.callback()).listen(0, '127.0.0.1');
await new Promise((resolve) => server.once('listening', resolve));
const { port } = server.address();

const toServer = fetchBy((url, options, done) => httpRequest({
  ...options, host: '127.0.0.1', port, path: url.pathname + url.search,
  headers: { ...options.headers, host: url.host, 'x-forwarded-proto': 'https', 'x-forwarded-host': url.host },
}, done));
const toDaemon = fetchBy((url, options, done) => httpsRequest({
  ...options, socketPath: file('socket').toString().trim(), servername: url.hostname, path: url.pathname + url.search,
  headers: { ...options.headers, host: url.host }, ca: file('ca.pem'), cert: file('cert.pem'), key: file('key.pem'),
}, done));

const client = { client_id: 'ci' };
const DPoP = oauth.DPoP(client, await oauth.generateKeyPair('ES256'));
// Once more where only the nonce was missing, and no further.
const withNonce = async (call) => {
  try {
    return await call();
  } catch (error) {
    if (!oauth.isDPoPNonceError(error)) throw error;
    console.log('  asked for a nonce');
    return call();
  }
};

const as = await oauth.discoveryRequest(new URL(issuer), { [oauth.customFetch]: toServer })
  .then((answer) => oauth.processDiscoveryResponse(new URL(issuer), answer));
const granted = await withNonce(async () => {
  const answer = await oauth.clientCredentialsGrantRequest(as, client, oauth.ClientSecretBasic('secret-of-ci'),
    new URLSearchParams({ scope: 'signer.sign' }), { DPoP, [oauth.customFetch]: toServer });
  return oauth.processClientCredentialsResponse(as, client, answer);
});
if (granted.token_type !== 'dpop') throw new Error(`token_type ${granted.token_type}`);

const sign = () => oauth.protectedResourceRequest(granted.access_token, 'POST', new URL(`${api}/v1/sign?key=release`),
  new Headers({ 'content-type': 'application/vnd.in-toto+json' }), file('statement.json'),
  { DPoP, [oauth.customFetch]: toDaemon });
for (let n = 0; n < 2; n += 1) {
  const answer = await withNonce(sign);
  const envelope = await answer.json();
  if (answer.status !== 200 || envelope.signatures?.length !== 1) throw new Error(JSON.stringify(envelope));
  console.log(`  signed, record ${answer.headers.get('sealwright-record')}`);
}
server.close();
