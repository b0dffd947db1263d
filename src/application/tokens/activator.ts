import type { TokenDocument } from '../../../projections/tokens.ts'
import { activate } from '../../domain/decide.ts'
import { keptText } from '../../domain/credential.ts'
import { projected } from '../eventLog/tokenStream.ts'
import type { Patience } from '../eventLog/patience.ts'
import type { DocumentReader } from '../ports/readModel.ts'
import { type CommandContext, createExecutor, type ExecuteDependencies } from './execute.ts'

/** The first use of a token's newer secret, as far as this process knows. */
export interface FirstUse {
  tokenId: string
  /** The revision of the event that brought the secret. */
  secret: number
  ip: string | null
  userAgent: string | null
}

export interface Activator {
  /** Writes down, in the background, that the secret was used. Tried again at the next use if it fails. */
  activate(use: FirstUse): void
  /** Resolves when nothing about the token is being written any more. */
  settled(tokenId: string): Promise<void>
  /** Resolves when nothing is being written any more. */
  stop(): Promise<void>
}

interface Dependencies extends Omit<ExecuteDependencies, 'patience'> {
  readModel: Pick<DocumentReader, 'get'>
  /** Identifies this start of the process. */
  instance: string
  /** Monotonic milliseconds. */
  now?: () => number
}

/**
 * The grace of the older secret begins when the append that has succeeded was begun. So an append whose outcome is
 * unknown is not sent again: the next use makes a new one, unless the stream has the first one by then.
 */
const ONE_TRY: Patience = { ms: 0, outages: false }
/** The pause after a failure, in milliseconds: a store that is down is not asked at each use. */
const PAUSE_MS = 1_000
/** How many tokens are written about at once. Others are tried at their next use. */
const AT_ONCE = 100

export function createActivator({
  readModel,
  instance,
  now = performance.now.bind(performance),
  ...deps
}: Dependencies): Activator {
  const { execute } = createExecutor({ ...deps, patience: ONE_TRY })
  const underWay = new Map<string, Promise<void>>()
  let pausedUntil = 0

  async function write({ tokenId, secret, ip, userAgent }: FirstUse): Promise<void> {
    try {
      const seen = (await readModel.get('tokens', tokenId)) as TokenDocument | null
      if (!seen) return
      const id = deps.ids.random()
      const context: CommandContext = {
        actor: { kind: 'system', id: instance },
        requestId: id,
        correlationId: id,
        ip,
        userAgent: userAgent && keptText(userAgent),
      }
      await execute({ context, tokenId, from: projected(seen), decide: (state) => activate(state, secret) })
    } catch (err) {
      pausedUntil = now() + PAUSE_MS
      deps.telemetry.log.warn({ err, tokenId }, 'the first use of a secret is not written down yet')
    }
  }

  return {
    activate(use) {
      const { tokenId } = use
      if (underWay.has(tokenId) || underWay.size >= AT_ONCE || now() < pausedUntil) return
      const done = write(use).finally(() => underWay.delete(tokenId))
      underWay.set(tokenId, done)
    },
    async settled(tokenId) {
      await underWay.get(tokenId)
    },
    async stop() {
      pausedUntil = Number.POSITIVE_INFINITY
      await Promise.all(underWay.values())
    },
  }
}
