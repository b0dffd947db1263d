import type { TokenDocument } from '../../projections/tokens.ts'
import type { UsageRange } from '../../src/application/analytics/buckets.ts'
import type { SecretUses } from '../../src/application/analytics/secretUses.ts'
import type { Tally, Usage, UsageOfToken } from '../../src/application/analytics/usage.ts'
import * as tokensThat from '../../src/application/readModel/statuses.ts'
import { presentUsage, presentUsageOfToken, presentUsageTokens } from '../../src/presentation/tokens.ts'
import { type ModelReads, withReadModel } from '../cli/stores.ts'
import { type RouteFilter, routeFilter } from '../../src/application/analytics/routeFilter.ts'
import { usageRange } from '../../src/application/analytics/range.ts'
import { storedSettings } from '../cli/storedSettings.ts'
import { defineCommand, JSON_OPTION, NotFound, tokenIdFrom, WrongUse } from '../cli/command.ts'
import { checked, rangeFrom } from '../cli/input.ts'
import { csv, json, plural, printable, table } from '../cli/output.ts'

type Owner = { account: string } | { token: string }

export const usage = defineCommand({
  name: 'usage',
  summary: 'How often a token, or all tokens of an account, were used.',
  usage:
    '(--account <id> | --token <id>) [--from <time>] [--to <time>] [--granularity hour|day] [--route <route>] [--csv | --json]',
  help:
    'From the read model. Hours are counted whole: one that overlaps the range belongs to it. Of each token the first\n' +
    '50 routes of an hour or day are kept by name, the rest as `other`, which no --route can find. Outcomes are not\n' +
    'kept by route.',
  args: [],
  options: {
    account: { type: 'string', value: '<id>', help: 'All tokens of this account, with a row for each.' },
    token: { type: 'string', value: '<id>', help: 'One token.' },
    from: {
      type: 'string',
      value: '<time>',
      help: 'RFC 3339, or a date for the start of that day (UTC), inclusive. Default: 30 days before --to.',
    },
    to: {
      type: 'string',
      value: '<time>',
      help: 'RFC 3339, exclusive, or a date for all of that day (UTC). Default: now.',
    },
    granularity: { type: 'string', value: 'hour|day', help: 'Size of a bucket. Default: day.' },
    route: {
      type: 'string',
      value: '<route>',
      help: "Only requests on this route, as usage names it: '/orders/:id', or 'GET /orders/:id'.",
    },
    csv: {
      type: 'boolean',
      help: 'Print the buckets as CSV (RFC 4180): at, requests, one column for each outcome.',
    },
    json: JSON_OPTION,
  },
  async run({ values }, io) {
    const settings = storedSettings(io)
    const owner = ownerFrom(values)
    const range = usageRangeFrom(values, new Date(io.now()).toISOString())
    if (values.csv && values.json) throw new WrongUse('--csv and --json exclude each other.')
    const route = values.route === undefined ? undefined : checked(() => routeFilter(values.route ?? ''))
    const found = await withReadModel(settings, io.now, (reads) => usageOf(reads, owner, range, route))
    if (values.json) io.out(json(shownUsage(owner, found)))
    else io.out(values.csv ? bucketsCsv(found) : report(found))
    return 0
  },
})

function ownerFrom({ account, token }: { account?: string; token?: string }): Owner {
  if (account !== undefined && token === undefined) return { account }
  if (token !== undefined && account === undefined) return { token: tokenIdFrom(token, '--token') }
  throw new WrongUse('Give one of --account and --token.')
}

/** @throws WrongUse naming the options that are wrong */
const usageRangeFrom = (
  { granularity, ...range }: { from?: string; to?: string; granularity?: string },
  now: string,
): UsageRange => checked(() => usageRange({ ...rangeFrom(range), granularity }, now))

/** @throws NotFound for an unknown token, or for an account without one */
async function usageOf(
  { queries, readModel }: ModelReads,
  owner: Owner,
  range: UsageRange,
  route: RouteFilter | undefined,
): Promise<Usage> {
  if ('token' in owner) {
    const token = await readModel.get('tokens', owner.token)
    if (!token) throw new NotFound('There is no such token.')
    return queries.usageOfToken(token as unknown as TokenDocument, range, { route })
  }
  const made = await Promise.all(
    tokensThat.inAnyPhase(owner.account).map((where) => readModel.count('tokens', where, 1)),
  )
  if (made.every((tokens) => tokens === 0)) throw new NotFound('No token of this account was ever made.')
  return queries.usageOfAccount(owner.account, range, { route })
}

const isOfToken = (found: Usage): found is UsageOfToken => 'secrets' in found

/** The same as in the answers over HTTP. */
const shownUsage = (owner: Owner, found: Usage): object =>
  'token' in owner && isOfToken(found)
    ? { token_id: owner.token, ...presentUsageOfToken(found) }
    : { ...presentUsage(found), ...presentUsageTokens(found) }

export function bucketsCsv({ buckets, total }: Pick<Usage, 'buckets' | 'total'>): string {
  const classes = classesOf(total)
  return csv(['at', 'requests', ...classes], buckets.map(bucketRow(classes)))
}

function report(found: Usage): string {
  const classes = classesOf(found.total)
  const outcomes = classes.map((name) => `${found.total.outcomes?.[name]} ${name}`).join(', ')
  const parts = [
    `${found.from} to ${found.to}\n${plural(found.total.requests, 'request')}${outcomes && `: ${outcomes}`}\n` +
      `Last used: ${found.lastAccessed ?? 'never'}\n${filtered(found)}`,
  ]
  const add = (header: string[], rows: (string | number)[][]) =>
    rows.length > 0 && parts.push(table(header, rows))
  add([found.granularity, 'requests', ...classes], found.buckets.map(bucketRow(classes)))
  add(
    ['method', 'requests', 'route'],
    found.routes.map(({ method, route, requests }) => [method, requests, route]),
  )
  if (isOfToken(found)) {
    // The only secret of a token that was not rotated has all requests.
    const secrets = found.secrets ?? []
    if (secrets.length > 1) add(['secret', 'requests', 'last used'], secrets.map(secretRow))
    if (found.retiredSecretUses) {
      const { requests, lastAt } = found.retiredSecretUses
      parts.push(`Refused with a secret that had retired: ${plural(requests, 'request')}, last ${lastAt}\n`)
    }
  } else {
    add(
      ['token', 'requests', 'last used', 'name'],
      found.tokens.map(({ tokenId, requests, lastAccessed, name }) => [
        tokenId,
        requests,
        lastAccessed ?? 'never',
        name,
      ]),
    )
    if (found.moreTokens) parts.push(`Of more tokens than these ${found.tokens.length} nothing is shown.\n`)
  }
  return parts.join('\n')
}

const secretRow = ({ hint, requests, lastAccessed }: SecretUses): (string | number)[] => [
  hint ?? 'unknown',
  requests,
  lastAccessed ?? 'never',
]

/** What the counts of a single route leave out. */
function filtered({ filter }: Usage): string {
  if (!filter) return ''
  const { method, route, other } = filter
  const unnamed =
    other > 0 ? `; some of ${plural(other, 'request')} on routes not kept by name may be too` : ''
  return `On ${method === null ? '' : `${method} `}${printable(route)}${unnamed}\n`
}

const classesOf = (total: Tally): string[] => Object.keys(total.outcomes ?? {}).sort()

const bucketRow =
  (classes: readonly string[]) =>
  ({ at, requests, outcomes }: Tally & { at: string }): (string | number)[] => [
    at,
    requests,
    ...classes.map((name) => outcomes?.[name] ?? 0),
  ]
