import type { TokenDocument } from '../../projections/tokens.ts'
import { presentBlastRadius } from '../../src/presentation/analytics.ts'
import { sinceTime } from '../../src/application/analytics/range.ts'
import { withReadModel } from '../cli/stores.ts'
import { storedSettings } from '../cli/storedSettings.ts'
import { defineCommand, JSON_OPTION, NotFound, tokenIdFrom } from '../cli/command.ts'
import { checked, timeOrDate } from '../cli/input.ts'
import { json, plural, printable, progress, table } from '../cli/output.ts'

type Shown = ReturnType<typeof presentBlastRadius>

export const blastRadius = defineCommand({
  name: 'blast-radius',
  summary: 'Everything a token did: from where, on which routes, when, and what it caused.',
  usage: '<token-id> [--since <time>] [--json]',
  help:
    'From the read model, for a token that leaked. Counted by the hour: the hour of --since counts whole. What was not\n' +
    'told apart is counted as `other`. Uses that were declared lost (UsageLost) are not in it.',
  args: ['<token-id>'],
  options: {
    since: {
      type: 'string',
      value: '<time>',
      help: 'When it leaked: RFC 3339, or a date for the start of that day (UTC). Default: its creation.',
    },
    json: JSON_OPTION,
  },
  async run({ values, args }, io) {
    const settings = storedSettings(io)
    const tokenId = tokenIdFrom(args[0] ?? '', '<token-id>')
    const now = new Date(io.now()).toISOString()
    const since =
      values.since === undefined
        ? null
        : checked(() => sinceTime(timeOrDate(values.since ?? '', '--since', 'start'), now))
    const bar = progress(io, 1)
    const found = await withReadModel(settings, io.now, async ({ queries, readModel }) => {
      const token = await readModel.get('tokens', tokenId)
      if (!token) throw new NotFound('There is no such token.')
      bar.step('reading', 'hour')
      return queries.blastRadius(token as unknown as TokenDocument, since, {
        onProgress: (read) => bar.at(null, read),
      })
    }).finally(bar.done)
    const shown = presentBlastRadius(found, now)
    io.out(values.json ? json(shown) : asText(shown))
    return 0
  },
})

function asText(shown: Shown): string {
  const { requests, outcomes } = shown.total
  return [
    `Token ${shown.token_id} of ${printable(shown.account_id)}, ${shown.status}: ${printable(shown.name)}\n` +
      `Since ${shown.since}: ${plural(requests, 'request')}${requests > 0 ? `: ${classes(outcomes)}` : ''}\n` +
      `First ${shown.first_at ?? 'never'}, last ${shown.last_at ?? 'never'}\n`,
    callers('address', shown.addresses, ({ ip }) => ip),
    callers('agent', shown.user_agents, ({ user_agent }) => user_agent),
    routes('On routes', shown.routes),
    routes('Where tokens are managed', shown.management.requests),
    events(shown.management.events),
    byHour(shown),
  ].join('\n')
}

interface SeenCaller {
  requests: number
  first_hour: string
  last_hour: string
}

function callers<T extends SeenCaller>(
  what: string,
  { data, ...rest }: Others & { data: T[] },
  nameOf: (row: T) => string | null,
): string {
  const rows = data.map((row) => [row.requests, row.first_hour, row.last_hour, nameOf(row) ?? '(not known)'])
  return table(['requests', 'first hour', 'last hour', what], [...rows, ...others(rest, [])])
}

function routes(title: string, { data, ...rest }: Shown['routes']): string {
  const rows = data.map((row) => [
    row.requests,
    row.first_hour,
    row.last_hour,
    classes(row.outcomes),
    row.method,
    row.route,
  ])
  if (rows.length === 0 && rest.other === 0) return `${title}: none\n`
  const header = ['requests', 'first hour', 'last hour', 'outcomes', 'method', 'route']
  return `${title}\n${table(header, [...rows, ...others(rest, ['', ''])])}`
}

interface Others {
  other: number
  other_first_hour: string | null
  other_last_hour: string | null
}

const others = ({ other, ...hours }: Others, between: string[]): (string | number)[][] =>
  other > 0
    ? [
        [
          other,
          hours.other_first_hour ?? '',
          hours.other_last_hour ?? '',
          ...between,
          '(other, not told apart)',
        ],
      ]
    : []

function events({ total, data }: Shown['management']['events']): string {
  if (total === 0) return 'Events that it caused: none\n'
  const rows = data.map(({ at, type, token_id, request_id, ip, user_agent }) => [
    at,
    type,
    token_id,
    request_id,
    ip ?? '',
    user_agent ?? '',
  ])
  const many = total > data.length ? ` (${total}, the first ${data.length})` : ''
  return `Events that it caused${many}\n${table(['time', 'type', 'token', 'request id', 'address', 'agent'], rows)}`
}

function byHour({ hours: shown, earlier }: Shown): string {
  const rows = shown.map(({ at, requests, addresses, user_agents, outcomes }) => [
    at,
    requests,
    addresses,
    user_agents,
    classes(outcomes),
  ])
  const before =
    earlier.hours > 0
      ? `Before: ${plural(earlier.requests, 'request')} in ${plural(earlier.hours, 'hour')}\n`
      : ''
  return `${before}${table(['hour', 'requests', 'addresses', 'agents', 'outcomes'], rows)}`
}

const classes = (outcomes: Record<string, number>): string =>
  Object.entries(outcomes)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, n]) => `${n} ${name}`)
    .join(', ')
