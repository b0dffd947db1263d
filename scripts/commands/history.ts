import type { AsOf, FoundThen, Moment } from '../../src/application/tokens/asOf.ts'
import { presentEvent } from '../../src/presentation/tokens.ts'
import { asOf, historyOf, missingText, parseMoment } from '../../src/application/tokens/asOf.ts'
import { withEventStore } from '../cli/stores.ts'
import { storedSettings } from '../cli/storedSettings.ts'
import { defineCommand, JSON_OPTION, NotFound, tokenIdFrom, WrongUse } from '../cli/command.ts'
import { json } from '../cli/output.ts'
import { eventsTable, tokenTable, tokenThen } from '../cli/tokenTables.ts'

export const history = defineCommand({
  name: 'history',
  summary: 'What happened to a token, from the event store.',
  usage: '<token-id> [--at <time|revision>] [--json]',
  help: 'Every event is checked against the one before it; a history that is not what was written is refused by name.',
  args: ['<token-id>'],
  options: {
    at: {
      type: 'string',
      value: '<time|revision>',
      help: 'The token as it was then: RFC 3339 (2026-11-23T09:00:00Z), or a revision (0 is its creation).',
    },
    json: JSON_OPTION,
  },
  async run({ values, args }, io) {
    const settings = storedSettings(io)
    const tokenId = tokenIdFrom(args[0] ?? '', '<token-id>')
    const moment = values.at === undefined ? null : momentFrom(values.at)
    const events = await withEventStore(settings, ({ tokenEvents }) => tokenEvents(tokenId))
    if (events.length === 0) throw new NotFound('There is no such token.')
    const then = moment && found(asOf(events, moment))
    const shown = historyOf(then ? then.events : events).map(presentEvent)
    const token = then && tokenThen(tokenId, then)
    if (values.json) {
      io.out(json({ data: shown, next_cursor: null, ...(then ? { at: then.at, token } : {}) }))
    } else {
      io.out(eventsTable(shown))
      if (then) io.out(`\nAt ${then.at}\n${tokenTable(token ?? {})}`)
    }
    return 0
  },
})

function momentFrom(text: string): Moment {
  const moment = parseMoment(text)
  if (!moment)
    throw new WrongUse('--at must be an RFC 3339 time (2026-11-23T09:00:00Z) or a revision (0, 1, …).')
  return moment
}

function found(then: AsOf): FoundThen {
  if (then.found) return then
  throw new NotFound(missingText(then.why))
}
