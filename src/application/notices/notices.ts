import type { TokenDocument } from '../../../projections/tokens.ts'
import { DamagedError } from '../../domain/errors.ts'
import { notice } from '../../domain/decide.ts'
import { projected } from '../eventLog/tokenStream.ts'
import { iso } from '../ports/clock.ts'
import type { DocumentReader } from '../ports/readModel.ts'
import { createPause } from '../scheduling/pause.ts'
import { type CommandContext, createExecutor, type ExecuteDependencies } from '../tokens/execute.ts'

/** Writes down that tokens will expire soon, or have expired, each once. */
export interface Notices {
  start(): void
  stop(): Promise<void>
}

interface Dependencies extends ExecuteDependencies {
  readModel: Pick<DocumentReader, 'find'>
  /** Is it for this process to do so, before others? Two at once write one event. */
  leads: () => boolean
  /** Identifies this start of the process. */
  instance: string
  /** How often it looks, in milliseconds; for tests. */
  everyMs?: number
}

const EVERY_MS = 1_000
/** What nobody has written for so long is written by any process, in milliseconds: the one that leads may have died. */
const PATIENCE_MS = 5_000
/** How many tokens are looked at at once. */
const READ = 100
/** After so long a token is tried again of which nothing could be written, in milliseconds. */
const AGAIN_MS = 600_000
/** Of so many tokens that is remembered. */
const REMEMBERED = 10_000

export function createNotices(deps: Dependencies): Notices {
  const { readModel, clock, ids, leads, instance, telemetry, everyMs = EVERY_MS } = deps
  const { execute } = createExecutor(deps)
  const { pause, wake } = createPause()
  const failed = new Map<string, number>()
  const stopping = new AbortController()
  const { signal } = stopping
  let isLogged = false
  let running: Promise<void> = Promise.resolve()

  async function write(token: TokenDocument): Promise<void> {
    const id = ids.random()
    const context: CommandContext = {
      actor: { kind: 'system', id: instance },
      requestId: id,
      correlationId: id,
      ip: null,
      userAgent: null,
    }
    try {
      const decide = (state: Parameters<typeof notice>[0]) => notice(state, iso(clock()))
      await execute({ context, tokenId: token.id, from: projected(token), decide })
    } catch (err) {
      if (!(err instanceof DamagedError)) throw err
      if (failed.size >= REMEMBERED) failed.clear()
      failed.set(token.id, clock() + AGAIN_MS)
      telemetry.log.error({ err, tokenId: token.id }, 'that a token expires cannot be written: it is damaged')
    }
  }

  async function look(): Promise<void> {
    const due = iso(clock() - (leads() ? 0 : PATIENCE_MS))
    const where = [{ field: 'noticeAt', op: 'lte' as const, value: due }]
    for (let after: { value: string; id: string } | undefined; !signal.aborted; ) {
      const query = { where, order: { field: 'noticeAt' }, limit: READ, ...(after && { after }) }
      const found = (await readModel.find('tokens', query)) as unknown as TokenDocument[]
      for (const token of found) {
        if (signal.aborted) return
        if (token.stopped === undefined && (failed.get(token.id) ?? 0) <= clock()) await write(token)
      }
      const last = found.at(-1)
      if (found.length < READ || !last?.noticeAt) return
      after = { value: last.noticeAt, id: last.id }
    }
  }

  async function run(): Promise<void> {
    while (!signal.aborted) {
      try {
        await look()
        isLogged = false
      } catch (err) {
        // An outage, or another process that is as fast. The next look finds what is missing.
        if (!isLogged) telemetry.log.warn({ err }, 'that tokens expire cannot be written now')
        isLogged = true
      }
      if (!signal.aborted) await pause(everyMs)
    }
  }

  return {
    start() {
      running = run()
    },
    async stop() {
      stopping.abort()
      wake()
      await running
    },
  }
}
