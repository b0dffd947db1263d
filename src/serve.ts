import { randomUUID } from 'node:crypto'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { constants } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Middleware } from 'koa'
import { createLog, type ServiceLog } from './adapters/telemetry/log.ts'
import { createOutput } from './adapters/telemetry/output.ts'
import { developmentJwt } from './settings/developmentJwt.ts'
import { developmentLink } from './settings/developmentLink.ts'
import { configurationOf } from './settings/configuration.ts'
import { DEV_SECRETS_FILE } from './settings/devSecrets.ts'
import { createApp } from './http/app.ts'
import { createLineQuota, withQuota } from './http/lineQuota.ts'
import { createHttpServer, stopServing } from './http/server/server.ts'
import { leadTo } from './http/page/leadTo.ts'
import { PAGE_PATH } from './http/page/options.ts'
import { METRICS_PATH, PROBES } from './http/routes/operations.ts'
import { startLedger, type TokenLedger } from './ledger/ledger.ts'
import { misspelt } from './settings/names.ts'
import { isOnThisMachine } from './settings/parsers.ts'
import type { Settings } from './settings/settings.ts'
import { shownUrl } from './stores/open.ts'

/** How long requests under way may take after a stop was asked for, in milliseconds. */
const GRACE_MS = 10_000
/** The account of those who try the service out. */
const DEVELOPER = 'acct_1'

/**
 * The service as a process: opens the stores that the environment names, listens, and stops in order at SIGTERM or
 * SIGINT. It ends the process: with 0 after such a stop, and with 1 if it could not start or stop, or got two signals.
 */
export async function serve(): Promise<never> {
  const errors = createOutput(2, (lost) => `${lost} lines lost\n`)
  try {
    await start()
  } catch (error) {
    errors.lastWords(`${error instanceof Error ? error.message : String(error)}\n`)
    process.exit(1)
  }
  return new Promise(() => {})
}

/** Resolves when the service listens. */
async function start(): Promise<void> {
  const configuration = configurationOf(process.env, { isNear: isOnThisMachine })
  const { settings, keys } = configuration
  const terminal = process.stdout.isTTY && !settings.production ? 'pretty' : 'json'
  const { log, request, print, drained } = createLog(settings.logLevel, settings.logFormat ?? terminal)
  for (const suspect of misspelt(process.env)) log.warn({}, suspect)
  // The first process of a container has no default action for signals. Without this it would ignore one while its
  // stores open.
  const giveUp = (signal: NodeJS.Signals) => {
    log.info({ signal }, 'stopped before it listened')
    process.exit(128 + constants.signals[signal])
  }
  process.on('SIGTERM', giveUp)
  process.on('SIGINT', giveUp)
  const ledger = await startLedger(configuration, { log, isService: true })
  const strangers = createLineQuota(log, 'requests without a credential from one address in summary')
  const app = createApp({
    log: withQuota(log, strangers),
    observe: ledger.observe((entry) => {
      if (PROBES.has(entry.route)) log.debug(entry, 'request')
      else if (entry.address === null || strangers.allows(entry.address, String(entry.status))) request(entry)
    }),
    routers: [
      ledger.verifyRoutes(),
      ledger.routes(),
      ledger.operatorRoutes(),
      ledger.oauthRoutes(),
      ledger.leakRoutes(),
      ledger.operationRoutes({ metrics: settings.metricsPort === null }),
      ...pageOf(ledger, settings),
    ],
  })
  const server = createHttpServer(app, {
    limits: { keepAliveMs: settings.keepAliveMs },
    observe: ledger.observeServer,
  })
  const metrics = await listenAll(ledger, server, settings, log)
  const url = urlOf(server)
  const stores = { eventStore: shownUrl(settings.eventStoreUrl), readModel: shownUrl(settings.readModelUrl) }
  log.info({ url, ...metrics?.shown, ...stores }, 'listening')
  if (keys.developmentSecret !== null) {
    const who = { id: randomUUID(), accountId: DEVELOPER, can: ['read', 'write'] as const, now: Date.now() }
    const link = developmentLink((settings.publicUrl ?? url) + PAGE_PATH, keys.peppers, who)
    print(
      firstSteps(url, developmentJwt(settings, keys.developmentSecret, DEVELOPER, 12 * 3600), link, settings),
    )
  }

  const end = async (code: number): Promise<never> => {
    strangers.close()
    log.info({ code }, 'stopped')
    await drained()
    process.exit(code)
  }
  let asked = false
  const stop = (signal: NodeJS.Signals) => {
    if (asked) process.exit(1)
    asked = true
    log.info({ signal }, 'stopping')
    // Load balancers see that it is not ready, and send new requests elsewhere, before it stops accepting them.
    void ledger.drain()
    sleep(settings.shutdownDelayMs)
      .then(() => stopServing(server, ledger.drain, GRACE_MS))
      .then(() => metrics?.close())
      .then(() => ledger.close())
      .then(() => end(0))
      .catch((err: unknown) => {
        log.error({ err }, 'the stop failed')
        return end(1)
      })
  }
  process.on('SIGTERM', stop)
  process.on('SIGINT', stop)
  process.off('SIGTERM', giveUp)
  process.off('SIGINT', giveUp)
}

/** Where one cannot listen, the stores are left as after any stop, so that the next start has nothing to check. */
async function listenAll(ledger: TokenLedger, server: Server, settings: Settings, log: ServiceLog['log']) {
  try {
    await listen(server, settings, 'PORT')
    return await serveMetrics(ledger, settings, log)
  } catch (error) {
    await ledger.close()
    throw error
  }
}

/** @param setting names the port */
const listen = (
  server: Server,
  { host, port }: Pick<Settings, 'host' | 'port'>,
  setting: 'PORT' | 'METRICS_PORT',
): Promise<void> =>
  new Promise((resolve, reject) => {
    const refuse = (error: NodeJS.ErrnoException) =>
      reject(new Error(whyDeaf(error, setting), { cause: error }))
    server.once('error', refuse)
    server.listen(port, host, () => {
      server.off('error', refuse)
      resolve()
    })
  })

/** Why nobody can be listened to, with the setting that is to be changed. */
function whyDeaf({ code, message }: NodeJS.ErrnoException, setting: string): string {
  switch (code) {
    case 'EADDRINUSE':
      return `${setting} is taken: ${message}. Is the service running already?`
    case 'EACCES':
      return `${setting} may not be used by this user: ${message}`
    case 'ENOTFOUND':
    case 'EADDRNOTAVAIL':
    case 'EAI_AGAIN':
      return `HOST must be an address or a name of this machine: ${message}`
    default:
      return `HOST or ${setting} cannot be listened at: ${message}`
  }
}

/** The metrics on a port of their own, if they are to have one. */
async function serveMetrics(
  ledger: Pick<TokenLedger, 'metricsRoutes'>,
  { metricsPort: port, host }: Settings,
  log: ServiceLog['log'],
): Promise<{ shown: { metricsUrl: string }; close(): void } | null> {
  if (port === null) return null
  const observe: Middleware = (_, next) => next()
  const server = createHttpServer(createApp({ log, observe, routers: [ledger.metricsRoutes()] }))
  await listen(server, { port, host }, 'METRICS_PORT')
  return {
    shown: { metricsUrl: `${urlOf(server)}${METRICS_PATH}` },
    close() {
      server.close()
      server.closeAllConnections()
    },
  }
}

function urlOf(server: Server): string {
  const { address, family, port } = server.address() as AddressInfo
  const isAny = address === '0.0.0.0' || address === '::'
  const host = isAny ? '127.0.0.1' : family === 'IPv6' ? `[${address}]` : address
  return `http://${host}:${port}`
}

/**
 * The page, and what leads to it. Nobody can get a link to it in production without a public URL, and so it is not
 * there.
 */
function pageOf(ledger: TokenLedger, { publicUrl, production }: Settings): Middleware[] {
  if (publicUrl === null && production) return []
  return [
    ledger.portalRoutes(),
    ledger.page({ prefix: PAGE_PATH, tryUrl: '/auth/verify' }),
    leadTo(PAGE_PATH),
  ]
}

const firstSteps = (url: string, jwt: string, link: string, { apiTokenHeader }: Settings): string => `
Tokenledger is listening on ${url} with development secrets (${DEV_SECRETS_FILE}).

See and manage tokens in a browser (this link works once, for 15 minutes; tokenledger page makes another):
${link}

Create a token (the JWT in this line is good for 12 hours; tokenledger jwt makes another):
curl -sS -w '\\n' -X POST ${url}/settings/api-tokens -H 'Authorization: Bearer ${jwt}' -H 'Content-Type: application/json' -d '{"name":"my first token"}'

Use it (put the "token" of the answer between the quotes first):
TOKEN=''
curl -sS -w '\\n' -i ${url}/auth/verify -H "${apiTokenHeader}: $TOKEN"

`
