import type { AsOf, Moment } from '../../src/application/asOf.ts'
import { presentEvent, presentToken } from '../../src/http/present.ts'
import { asOf, historyOf, parseMoment, withEventStore } from '../../src/reader.ts'
import { readSettings } from '../../src/settings.ts'
import { defineCommand, JSON_OPTION, NotFound, tokenIdFrom, WrongUse } from '../command.ts'
import { json, printable, table } from '../output.ts'

type ShownEvent = ReturnType<typeof presentEvent>
type Found = Extract<AsOf, { found: true }>

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
    const settings = readSettings(io.env)
    const tokenId = tokenIdFrom(args[0] ?? '', '<token-id>')
    const moment = values.at === undefined ? null : momentFrom(values.at)
    const events = await withEventStore(settings, ({ tokenEvents }) => tokenEvents(tokenId))
    if (events.length === 0) throw new NotFound('There is no such token.')
    const then = moment && found(asOf(events, moment), moment)
    const shown = historyOf(then ? then.events : events).map(presentEvent)
    const token = then && tokenThen(tokenId, then)
    if (values.json) {
      io.out(json({ data: shown, next_cursor: null, ...(then ? { at: then.at, token } : {}) }))
    } else {
      io.out(eventsTable(shown))
      if (then)
        io.out(`\nAt ${then.at}\n${table(['member', 'value'], Object.entries(token ?? {}).map(toRow))}`)
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

function found(then: AsOf, moment: Moment): Found {
  if (then.found) return then
  if (then.why === 'no such revision') throw new NotFound('The token has no such revision.')
  const asked = 'time' in moment ? moment.time : `revision ${moment.revision}`
  throw new NotFound(`The token did not exist yet at ${asked}.`)
}

/** Last use is not in the events of a token's life, so nothing is said of it. */
function tokenThen(tokenId: string, { token, at }: Found): object {
  const { last_accessed: _, ...shown } = presentToken(tokenId, token, at)
  return shown
}

const toRow = ([name, value]: [string, unknown]): string[] => [
  name,
  typeof value === 'string' ? value : shortly(value),
]

function eventsTable(events: readonly ShownEvent[]): string {
  const changes = changesOf(events)
  const rows = events.map(({ revision, at, type, actor, request_id }, i) => [
    revision,
    at,
    type,
    `${actor.kind} ${actor.id}`,
    request_id,
    changes[i] ?? '',
  ])
  return table(['revision', 'time', 'type', 'actor', 'request id', 'what changed'], rows)
}

/** Says of each event what it changed: `name "CI" → "CI deploy"`. Members that had no value before have no arrow. */
export function changesOf(events: readonly Pick<ShownEvent, 'type' | 'data'>[]): string[] {
  const known: Record<string, unknown> = {}
  return events.map(({ data }) => {
    const changes = Object.entries(data)
      .filter(([name]) => name !== 'token_id')
      .map(([name, value]) => {
        const old = Object.hasOwn(known, name) ? `${shortly(known[name])} → ` : ''
        known[name] = value
        return `${name} ${old}${shortly(value)}`
      })
    return changes.join(', ')
  })
}

const shortly = (value: unknown): string => (value === null ? 'none' : printable(JSON.stringify(value)))
