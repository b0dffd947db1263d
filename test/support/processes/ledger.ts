import { hash } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import jwt from 'jsonwebtoken'
import { createApp } from '../../../src/http/app.ts'
import { createHttpServer } from '../../../src/http/server/server.ts'
import { createTokenLedger, type TokenLedger } from '../../../src/ledger/ledger.ts'
import type { TokenLedgerOptions } from '../../../src/settings/options.ts'

export const SECRET = 'a secret that only the tests know: 32 bytes'
export const PEPPERS = `k1:${Buffer.alloc(32, 7).toString('base64')}`

const SILENT = { debug() {}, info() {}, warn() {}, error() {} }

export interface TestService {
  url: string
  ledger: TokenLedger
  folder: string
  close(): Promise<void>
}

/** A ledger under the service's app on a free port of loopback, with its data in a folder of its own. */
export async function startLedger(options: TokenLedgerOptions = {}, folder?: string): Promise<TestService> {
  const own = folder ?? (await mkdtemp(join(tmpdir(), 'tokenledger-')))
  const ledger = await createTokenLedger({
    eventStoreUrl: `sqlite:${own}/events.db`,
    readModelUrl: `sqlite:${own}/read-model.db`,
    jwt: { secret: SECRET },
    peppers: PEPPERS,
    usageFlushMs: 20,
    rateLimitFailuresPerMinute: 0,
    rateLimitWritesPerMinute: 0,
    log: SILENT,
    ...options,
  })
  const app = createApp({
    log: options.log ?? SILENT,
    observe: ledger.observe(),
    routers: [
      ledger.verifyRoutes(),
      ledger.routes(),
      ledger.operatorRoutes(),
      ledger.oauthRoutes(),
      ledger.leakRoutes(),
      ledger.operationRoutes(),
      ledger.portalRoutes(),
      ledger.page({ tryUrl: '/auth/verify' }),
    ],
  })
  const server = createHttpServer(app)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    ledger,
    folder: own,
    async close() {
      const closed = new Promise((resolve) => server.close(resolve))
      server.closeAllConnections()
      await closed
      await ledger.close()
      if (folder === undefined) await rm(own, { recursive: true, force: true })
    },
  }
}

/** The key of the sample in GitHub's documentation, as GitHub publishes it. */
export const SAMPLE_KEY = {
  key_identifier: 'bcb53661c06b4728e59d897fb6165d5c9cda0fd9cdf9d09ead458168deb7518c',
  key: '-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEYAGMWO8XgCamYKMJS6jc/qgvSlAd\nAjPuDPRcXU22YxgBrz+zoN19MzuRyW87qEt9/AmtoNP5GrobzUvQSyJFVw==\n-----END PUBLIC KEY-----\n',
  is_current: true,
}

/** Options for routes that are there only where a file is. */
export function machinesIn(folder: string): TokenLedgerOptions & { basic: string } {
  const leakKeysFile = join(folder, 'leak-keys.json')
  writeFileSync(leakKeysFile, JSON.stringify({ public_keys: [SAMPLE_KEY] }))
  const { oauthClientsFile, basic } = oauthClientIn(folder)
  return {
    oauthClientsFile,
    basic,
    leakKeysFile,
    leakAction: 'revoke',
    publicUrl: 'https://tokens.example.com',
  }
}

/** A file with one OAuth client, and how that authenticates. */
export function oauthClientIn(folder: string): { oauthClientsFile: string; basic: string } {
  const oauthClientsFile = join(folder, 'oauth-clients.json')
  writeFileSync(oauthClientsFile, JSON.stringify({ try: hash('sha256', SECRET) }))
  return { oauthClientsFile, basic: Buffer.from(`try:${encodeURIComponent(SECRET)}`).toString('base64') }
}

/** A JWT of an account, good for an hour unless the claims say otherwise. */
export const jwtFor = (account: string, claims: object = {}, secret = SECRET): string =>
  jwt.sign({ sub: account, exp: Math.floor(Date.now() / 1000) + 3600, ...claims }, secret)
