import { type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import Koa, { type Context, type Middleware } from 'koa'
import type { Logger } from '../../../src/application/ports/telemetry.ts'
import { createTokenLedger, type TokenLedger } from '../../../src/ledger/ledger.ts'
import type { TokenLedgerOptions } from '../../../src/settings/options.ts'
import { PEPPERS, SECRET } from './ledger.ts'

/** A Koa app that existed before, with a ledger in it. */
export interface HostApp {
  url: string
  app: Koa
  ledger: TokenLedger
  /** The lines that the ledger has logged. */
  lines: { level: keyof Logger; fields: Record<string, unknown>; message: string }[]
  /** The errors that the app got by its event `error`. */
  errors: { error: unknown; ctx: Context }[]
  close(): Promise<void>
}

/** @param use adds its middleware to the app, in its own order */
export async function startHost(
  use: (app: Koa, ledger: TokenLedger) => void,
  options: TokenLedgerOptions = {},
): Promise<HostApp> {
  const lines: HostApp['lines'] = []
  const errors: HostApp['errors'] = []
  const to =
    (level: keyof Logger): Logger['info'] =>
    (fields, message) =>
      void lines.push({ level, fields: fields as Record<string, unknown>, message })
  const ledger = await createTokenLedger({
    eventStoreUrl: 'sqlite::memory:',
    readModelUrl: 'sqlite::memory:',
    jwt: { secret: SECRET },
    peppers: PEPPERS,
    usageFlushMs: 20,
    rateLimitFailuresPerMinute: 0,
    rateLimitWritesPerMinute: 0,
    log: { debug: to('debug'), info: to('info'), warn: to('warn'), error: to('error') },
    ...options,
  })
  const app = new Koa()
  app.on('error', (error: unknown, ctx: Context) => void errors.push({ error, ctx }))
  use(app, ledger)
  const server = await new Promise<Server>((resolve) => {
    const listening = app.listen(0, '127.0.0.1', () => resolve(listening)).unref()
  })
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    app,
    ledger,
    lines,
    errors,
    async close() {
      const closed = new Promise((resolve) => server.close(resolve))
      server.closeAllConnections()
      await closed
      await ledger.close()
    },
  }
}

/** Answers the requests that the ledger lets pass. */
export const served: Middleware = (ctx) => {
  ctx.body = { served: ctx.path, accountId: ctx.state.principal?.accountId }
}
