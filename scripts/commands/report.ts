import type { Report } from '../../src/application/analytics/report.ts'
import { presentReport } from '../../src/presentation/analytics.ts'
import { usageRange } from '../../src/application/analytics/range.ts'
import { withReadModel } from '../cli/stores.ts'
import { storedSettings } from '../cli/storedSettings.ts'
import { defineCommand, JSON_OPTION, NotFound, WrongUse } from '../cli/command.ts'
import { checked, rangeFrom, wholeNumber } from '../cli/input.ts'
import { csv, json, plural, progress, table } from '../cli/output.ts'

type Shown = ReturnType<typeof presentReport>
type TokenRow = Shown['top']['data'][number] & { leak?: Shown['leaked']['data'][number]['leak'] }

const MAX_DAYS = 3650
const MAX_ROWS = 100

export const report = defineCommand({
  name: 'report',
  summary: 'Which tokens are used most, which are not used, which expire soon or never.',
  usage:
    '[--account <id>] [--from <time>] [--to <time>] [--idle-days <n>] [--expiring-days <n>] [--limit <n>] [--csv | --json]',
  help:
    'From the read model, of all accounts unless told otherwise. Revoked and expired tokens are counted, and among those\n' +
    'that are used most, have retired secrets, or were found in public; the other lists hold active tokens only.\n' +
    'blast-radius <token-id> --since <time> says what a token did since it was found.',
  args: [],
  options: {
    account: { type: 'string', value: '<id>', help: 'Only tokens of this account.' },
    from: {
      type: 'string',
      value: '<time>',
      help: 'Of the most used: RFC 3339, or a date for the start of that day (UTC), inclusive. Default: 30 days before --to.',
    },
    to: {
      type: 'string',
      value: '<time>',
      help: 'RFC 3339, exclusive, or a date for all of that day (UTC). Default: now.',
    },
    'idle-days': { type: 'string', value: '<n>', help: 'Not used for so many days is idle. Default: 90.' },
    'expiring-days': {
      type: 'string',
      value: '<n>',
      help: 'What expires within so many days is shown. Default: 30.',
    },
    limit: { type: 'string', value: '<n>', help: 'Rows of a list, at most 100. Default: 25.' },
    csv: { type: 'boolean', help: 'Print one table as CSV (RFC 4180), its first column naming the list.' },
    json: JSON_OPTION,
  },
  async run({ values }, io) {
    const settings = storedSettings(io)
    const { account = null } = values
    const input = rangeFrom(values)
    const { from, to } = checked(() => usageRange(input, new Date(io.now()).toISOString()))
    const query = {
      from,
      to,
      idleDays: wholeNumber(values['idle-days'], '--idle-days', 90, MAX_DAYS),
      expiringDays: wholeNumber(values['expiring-days'], '--expiring-days', 30, MAX_DAYS),
      limit: wholeNumber(values.limit, '--limit', 25, MAX_ROWS),
    }
    if (values.csv && values.json) throw new WrongUse('--csv and --json exclude each other.')
    const bar = progress(io, 1)
    const found = await withReadModel(settings, io.now, async ({ queries }) => {
      bar.step('reading', 'token')
      return queries.report(account, query, { onProgress: (tokens) => bar.at(null, tokens) })
    }).finally(bar.done)
    if (account !== null && isEmpty(found)) throw new NotFound('No token of this account was ever made.')
    const shown = presentReport(found)
    if (values.json) io.out(json(shown))
    else io.out(values.csv ? asCsv(shown) : asText(shown))
    return 0
  },
})

const isEmpty = ({ tokens }: Report): boolean => Object.values(tokens).every((n) => n === 0)

const listsOf = (shown: Shown) => [
  { name: 'top', title: `Used most, ${shown.top.from} to ${shown.top.to}`, list: shown.top },
  { name: 'never_used', title: 'Never used, oldest first', list: shown.never_used },
  { name: 'idle', title: `Not used for ${plural(shown.idle.days, 'day')}, longest first`, list: shown.idle },
  {
    name: 'expiring',
    title: `Expiring within ${plural(shown.expiring.days, 'day')}, soonest first`,
    list: shown.expiring,
  },
  { name: 'without_expiry', title: 'Without expiry, oldest first', list: shown.without_expiry },
  {
    name: 'retired_secret_uses',
    title: 'Refused with a secret that had retired, most often first',
    list: shown.retired_secret_uses,
  },
  { name: 'leaked', title: 'Found in public, latest first, with the requests since', list: shown.leaked },
]

const HEADER = ['token', 'account', 'status', 'created', 'last used', 'expires', 'name']
const OF_LEAK = ['found', 'secret', 'by', 'where']

const cells = (row: TokenRow): (string | number)[] => [
  ...(row.requests === undefined ? [] : [row.requests]),
  row.token_id,
  row.account_id,
  row.status,
  row.created_at,
  row.last_accessed ?? 'never',
  row.expires_at ?? 'never',
  row.name,
  ...(row.leak ? [row.leak.at, row.leak.hint, row.leak.source, row.leak.url] : []),
]

function asText(shown: Shown): string {
  const { active, expired, revoked, damaged } = shown.tokens
  const counts = `${shown.at}: ${plural(active, 'active token')}, ${expired} expired, ${revoked} revoked`
  const parts = listsOf(shown).map(({ title, list: { total, data } }) => {
    const many = total > data.length ? `, the first ${data.length}` : ''
    const [first]: readonly TokenRow[] = data
    const header = [
      ...(first?.requests === undefined ? [] : ['requests']),
      ...HEADER,
      ...(first?.leak ? OF_LEAK : []),
    ]
    return `${title} (${total}${many})\n${data.length > 0 ? table(header, data.map(cells)) : ''}`
  })
  return [`${counts}${damaged > 0 ? `, ${damaged} damaged` : ''}\n`, ...parts].join('\n')
}

const CSV_HEADER = [
  'list',
  'token_id',
  'account_id',
  'status',
  'requests',
  'created_at',
  'last_accessed',
  'expires_at',
  'name',
  'leaked_at',
  'leak_source',
  'leak_url',
]

const asCsv = (shown: Shown): string =>
  csv(
    CSV_HEADER,
    listsOf(shown).flatMap(({ name, list }) =>
      list.data.map((row: TokenRow) => [
        name,
        row.token_id,
        row.account_id,
        row.status,
        row.requests ?? '',
        row.created_at,
        row.last_accessed ?? '',
        row.expires_at ?? '',
        row.name,
        row.leak?.at ?? '',
        row.leak?.source ?? '',
        row.leak?.url ?? '',
      ]),
    ),
  )
