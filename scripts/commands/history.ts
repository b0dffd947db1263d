import type { AsOf, FoundThen, Moment } from '../../src/application/tokens/asOf.ts'
import { presentEvent } from '../../src/presentation/tokens.ts'
import { asOfSound, historyOf, missingText, parseMoment } from '../../src/application/tokens/asOf.ts'
import { withEventStore } from '../cli/stores.ts'
import { storedSettings } from '../cli/storedSettings.ts'
import { defineCommand, JSON_OPTION, NotFound, tokenIdFrom, WrongUse } from '../cli/command.ts'
import { flawText, UNKNOWN_THEN } from '../cli/damage.ts'
import { momentOf, TIME_OR_DATE } from '../cli/input.ts'
import { json } from '../cli/output.ts'
import { eventsTable, NOT_YET, tokenTable, tokenThen } from '../cli/tokenTables.ts'

export const history = defineCommand({
  name: 'history',
  summary: 'What happened to a token, from the event store.',
  usage: '<token-id> [--at <time|revision>] [--json]',
  help: [
    'Every event is checked against the one before it. What is missing, or is not what was written, is named, and the',
    'rest is shown; the exit code is 1 then.',
  ].join('\n'),
  args: ['<token-id>'],
  options: {
    at: {
      type: 'string',
      value: '<time|revision>',
      help: 'The token as it was then: RFC 3339 (2026-11-23T09:00:00Z), a date for the end of that day (UTC), or a revision (0 is its creation).',
    },
    json: JSON_OPTION,
  },
  async run({ values, args }, io) {
    const settings = storedSettings(io)
    const tokenId = tokenIdFrom(args[0] ?? '', '<token-id>')
    const moment = values.at === undefined ? null : momentFrom(values.at)
    const sound = await withEventStore(settings, ({ tokenEvents }) => tokenEvents(tokenId))
    const { events, flaws } = sound
    if (events.length === 0 && flaws.length === 0) throw new NotFound('There is no such token.')
    const then = moment && found(asOfSound(sound, moment))
    const shown = historyOf(then ? then.events : events).map(presentEvent)
    const token = then && tokenThen(tokenId, then)
    if (values.json) {
      const damaged = flaws.length > 0 ? { damaged: flaws } : {}
      io.out(
        json({
          data: shown,
          next_cursor: null,
          ...(moment ? { at: then?.at ?? null, token } : {}),
          ...damaged,
        }),
      )
    } else {
      io.out(eventsTable(shown))
      for (const flaw of flaws) io.err(`${flawText(tokenId, flaw)}\n`)
      const isFuture = then !== null && Date.parse(then.at) > io.now()
      if (then) io.out(`\nAt ${then.at}\n${isFuture ? NOT_YET : ''}${tokenTable(token ?? {})}`)
      else if (moment) io.err(`${UNKNOWN_THEN}\n`)
    }
    return flaws.length > 0 ? 1 : 0
  },
})

/** Only `--at` may also be a revision. A date stands for the end of its day. */
function momentFrom(text: string): Moment {
  const time = momentOf(text, 'last')
  const moment = time === null ? parseMoment(text) : { time }
  if (!moment) throw new WrongUse(`--at must be ${TIME_OR_DATE}, or a revision (0, 1, …).`)
  return moment
}

/** @returns null if only a damaged part would say */
function found(then: AsOf | null): FoundThen | null {
  if (then === null || then.found) return then
  throw new NotFound(missingText(then.why))
}
