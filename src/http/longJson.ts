import type { Context } from 'koa'
import { giveWay } from '../application/scheduling/turns.ts'
import { sendJsonText } from './route.ts'

/** How many rows of an answer are written at a time. That takes well under a millisecond. */
const ROWS = 200

/**
 * As `sendJson`, for an answer that may be long: it is written in pieces, and the event loop serves others in between.
 */
export async function sendLongJson(ctx: Context, body: object, signal: AbortSignal): Promise<void> {
  const pieces: string[] = []
  for await (const piece of piecesOf(body, signal)) pieces.push(piece)
  sendJsonText(ctx, pieces.join(''))
}

async function* piecesOf(value: unknown, signal: AbortSignal): AsyncGenerator<string> {
  if (Array.isArray(value)) {
    yield '['
    for (let from = 0; from < value.length; from += ROWS) {
      const pause = giveWay(signal)
      if (pause) await pause
      const rows = JSON.stringify(value.slice(from, from + ROWS)).slice(1, -1)
      yield from === 0 ? rows : `,${rows}`
    }
    yield ']'
  } else if (typeof value === 'object' && value !== null) {
    let before = '{'
    for (const [name, member] of Object.entries(value)) {
      if (member === undefined) continue
      yield `${before}${JSON.stringify(name)}:`
      yield* piecesOf(member, signal)
      before = ','
    }
    yield before === '{' ? '{}' : '}'
  } else yield JSON.stringify(value)
}
