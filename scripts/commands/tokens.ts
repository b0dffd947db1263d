import type { presentRevocations } from '../../src/presentation/revocations.ts'
import type { presentEvent, presentToken, presentUsage } from '../../src/presentation/tokens.ts'
import { defineCommand, type ExitCode, type Io, JSON_OPTION, tokenIdFrom, WrongUse } from '../cli/command.ts'
import { batchesOf, type FoundSecrets, secretsInFile } from '../cli/leakedSecrets.ts'
import { type OperatorClient, operatorClient, SERVICE_OPTIONS } from '../cli/operatorClient.ts'
import { json, plural, progress, table } from '../cli/output.ts'
import { eventsTable, tokenTable } from '../cli/tokenTables.ts'

type Token = ReturnType<typeof presentToken>
type Revoked = ReturnType<typeof presentRevocations>
type Row = Revoked['data'][number] & { line?: number }

const MOST_LISTED = 100_000
/** How many ids one request names. */
const MOST_IDS = 1_000

export const tokensCommand = defineCommand({
  name: 'tokens',
  summary: 'List, show and revoke the tokens of all accounts, at a running service.',
  usage:
    'list|show <id>|revoke [<id>…] [--account <id>] [--from-file <path>] [--reason <text>] [--dry-run] [--json]',
  help: [
    'list: the tokens of all accounts, or of one; --status is live, active, expired, revoked or all.',
    'show: one token, how often it was used in the last 30 days, and its history.',
    'revoke: those with these ids, or all of an account, or those whose secrets are in a file: one on each line, or in a',
    'text: tokens are found by their format, and secrets of another system as words, or as values in code or JSON. Needs',
    '--reason. Begin with --dry-run: it says what would go, and when it was last used. No secret of the file is printed.',
    'Exit code 1 if one was not found, or could not be revoked, or if a line has only what may be a secret, and none was found.',
    'Where JWT_SECRET is set (or the development secret is used) it makes a JWT by itself; the history then names the',
    'user of this machine. Otherwise --jwt-file has the JWT of an operator.',
  ].join('\n'),
  args: ['list|show|revoke'],
  takesMore: true,
  options: {
    account: { type: 'string', value: '<id>', help: 'Only tokens of this account.' },
    status: { type: 'string', value: '<status>', help: 'list: Default: live.' },
    hint: { type: 'string', value: '<hint>', help: 'list: only tokens with this hint, like tkl_…9fQz.' },
    q: {
      type: 'string',
      value: '<text>',
      help: 'list: only tokens whose name or description contains this.',
    },
    'unused-days': { type: 'string', value: '<n>', help: 'list: only tokens not used for so many days.' },
    'expiring-days': {
      type: 'string',
      value: '<n>',
      help: 'list: only tokens that expire within so many days.',
    },
    'never-expires': { type: 'boolean', help: 'list: only tokens that never expire.' },
    sort: {
      type: 'string',
      value: '<order>',
      help: 'list: created_at, name, last_accessed, expires_at; with - in front the greatest first. Default: -created_at.',
    },
    limit: { type: 'string', value: '<n>', help: 'list: how many rows. Default: 100.' },
    'from-file': { type: 'string', value: '<path>', help: 'revoke: a file with secrets.' },
    reason: { type: 'string', value: '<text>', help: 'revoke: goes into the history of each.' },
    'dry-run': { type: 'boolean', help: 'revoke: only say what would go.' },
    ...SERVICE_OPTIONS,
    json: JSON_OPTION,
  },
  async run({ values, args }, io) {
    const [what, ...ids] = args
    switch (what) {
      case 'list':
        if (ids.length > 0) throw new WrongUse('Too many arguments.')
        return list(operatorClient(values, io), values, io)
      case 'show':
        if (ids.length !== 1) throw new WrongUse('show needs the id of one token.')
        return show(
          operatorClient(values, io),
          tokenIdFrom(ids[0] as string, '<id>'),
          Boolean(values.json),
          io,
        )
      case 'revoke':
        return revoke(operatorClient(values, io), ids, values, io)
      default:
        throw new WrongUse('What can be done with tokens: list, show, revoke.')
    }
  },
})

interface ListValues {
  account?: string
  status?: string
  hint?: string
  q?: string
  'unused-days'?: string
  'expiring-days'?: string
  'never-expires'?: boolean
  sort?: string
  limit?: string
  json?: boolean
}

async function list(client: OperatorClient, values: ListValues, io: Io): Promise<ExitCode> {
  const { json: asJson, limit = '100', ...asked } = values
  const most = Number(limit)
  if (!/^\d{1,6}$/.test(limit) || most < 1 || most > MOST_LISTED)
    throw new WrongUse(`--limit must be a whole number from 1 to ${MOST_LISTED}.`)
  const { account, status, hint, q, sort } = asked
  const picked = {
    unused_days: asked['unused-days'],
    expiring_days: asked['expiring-days'],
    never_expires: asked['never-expires'] ? 'true' : undefined,
  }
  const found: Token[] = []
  let cursor: string | null = null
  do {
    const size = String(Math.min(100, most - found.length))
    const query = { account, status, hint, q, ...picked, sort, limit: size }
    const page: { data: Token[]; next_cursor: string | null } = await client.get('/api-tokens', {
      ...query,
      ...(cursor !== null && { cursor }),
    })
    found.push(...page.data)
    cursor = page.next_cursor
  } while (cursor !== null && found.length < most)
  if (asJson) io.out(json({ data: found, more: cursor !== null }))
  else {
    const rows = found.map((token) => [
      token.id,
      token.account_id,
      token.name,
      token.hint,
      token.status,
      token.last_accessed ?? 'never',
      token.expires_at ?? 'never',
    ])
    io.out(table(['id', 'account', 'name', 'hint', 'status', 'last used', 'expires'], rows))
    if (cursor !== null)
      io.err(`There are more than ${most}: raise --limit, or narrow the list down by filters.\n`)
  }
  return found.length > 0 ? 0 : 1
}

async function show(client: OperatorClient, id: string, asJson: boolean, io: Io): Promise<ExitCode> {
  const token = await client.get<Token>(`/api-tokens/${id}`)
  const usage = await client.get<ReturnType<typeof presentUsage>>(`/api-tokens/${id}/usage`)
  const events: ReturnType<typeof presentEvent>[] = []
  let cursor: string | null = null
  do {
    const page: { data: typeof events; next_cursor: string | null } = await client.get(
      `/api-tokens/${id}/events`,
      { limit: '100', ...(cursor !== null && { cursor }) },
    )
    events.push(...page.data)
    cursor = page.next_cursor
  } while (cursor !== null)
  if (asJson) io.out(json({ token, usage, events }))
  else {
    const { requests } = usage.total
    io.out(`${tokenTable(token)}\n${plural(requests, 'use')} since ${usage.from}\n\n${eventsTable(events)}`)
  }
  return 0
}

interface RevokeValues {
  account?: string
  'from-file'?: string
  reason?: string
  'dry-run'?: boolean
  json?: boolean
}

async function revoke(
  client: OperatorClient,
  ids: readonly string[],
  values: RevokeValues,
  io: Io,
): Promise<ExitCode> {
  const { account, 'from-file': path, reason, 'dry-run': isDryRun = false } = values
  if (reason === undefined) throw new WrongUse('--reason is missing: it goes into the history.')
  const named = [ids.length > 0, account !== undefined, path !== undefined].filter(Boolean)
  if (named.length !== 1) throw new WrongUse('Name the tokens by ids, or by --account, or by --from-file.')
  const send = (which: object): Promise<Revoked> =>
    client.post('/revocations', { ...which, reason, dry_run: isDryRun })
  const { rows, remaining, unknownLines } =
    path !== undefined
      ? await revokeSecrets(send, secretsInFile(path), io)
      : account === undefined
        ? await revokeIds(send, ids)
        : await revokeAccount(send, account, isDryRun)
  const isFine = rows.every(({ why }) => FINE.includes(why)) && (unknownLines ?? []).length === 0
  if (values.json)
    io.out(
      json({
        data: rows,
        remaining,
        dry_run: isDryRun,
        ...(unknownLines && { unknown_lines: unknownLines }),
      }),
    )
  else {
    io.out(rows.length === 0 ? 'There is nothing to revoke.\n' : shown(rows))
    if (remaining > 0) io.out(`and ${plural(remaining, 'token')} more\n`)
    if (unknownLines && unknownLines.length > 0) io.out(unknownText(unknownLines))
  }
  return isFine ? 0 : 1
}

type Send = (which: object) => Promise<Revoked>

interface Outcome {
  rows: Row[]
  /** Tokens of the account that are left. */
  remaining: number
  /** Of a file: the lines that have something that may be a secret, and nothing that is known. */
  unknownLines?: number[]
}

async function revokeIds(send: Send, texts: readonly string[]): Promise<Outcome> {
  const ids = texts.map((text) => tokenIdFrom(text, '<id>'))
  const rows: Row[] = []
  for (let from = 0; from < ids.length; from += MOST_IDS)
    rows.push(...(await send({ ids: ids.slice(from, from + MOST_IDS) })).data)
  return { rows, remaining: 0 }
}

async function revokeAccount(send: Send, accountId: string, isDryRun: boolean): Promise<Outcome> {
  const rows: Row[] = []
  for (;;) {
    const { data, remaining } = await send({ account_id: accountId })
    rows.push(...data)
    const isStuck = !data.some(({ revoked }) => revoked)
    if (remaining === 0 || isDryRun || isStuck) return { rows, remaining }
  }
}

/** A guess that is no secret of ours has no row. */
async function revokeSecrets(send: Send, { secrets, lines }: FoundSecrets, io: Io): Promise<Outcome> {
  const rows: (Row & { line: number })[] = []
  const known = new Set<string>()
  let asked = 0
  const bar = progress(io, 1)
  bar.step('asking the service', 'candidate')
  for (const batch of batchesOf(secrets)) {
    const { data } = await send({ credentials: batch.map(({ secret }) => secret) })
    for (const [index, row] of data.entries()) {
      const { secret, line, isToken } = batch[index] ?? { secret: '', line: 0, isToken: false }
      if (!row.found && !isToken) continue
      known.add(secret)
      rows.push({ ...row, line })
    }
    asked += batch.length
    bar.at(asked / secrets.length, asked)
  }
  bar.done()
  const unknown = lines.filter(({ candidates }) => !candidates.some((secret) => known.has(secret)))
  return {
    rows: rows.sort((a, b) => a.line - b.line),
    remaining: 0,
    unknownLines: unknown.map(({ line }) => line),
  }
}

const MOST_NAMED = 20

function unknownText(lines: readonly number[]): string {
  const named = `${lines.slice(0, MOST_NAMED).join(', ')}${lines.length > MOST_NAMED ? ', …' : ''}`
  const have = lines.length === 1 ? 'has' : 'have'
  return `${plural(lines.length, 'line')} ${have} what may be a secret, of which none was found: ${named}\n`
}

function shown(rows: readonly Row[]): string {
  const hasLines = rows.some(({ line }) => line !== undefined)
  return table(
    [...(hasLines ? ['line'] : []), 'id', 'account', 'hint', 'status before', 'last used', 'result'],
    rows.map(({ line, ...row }) => [
      ...(hasLines ? [line ?? 0] : []),
      row.id ?? '-',
      row.account_id ?? '-',
      row.hint ?? '-',
      row.status ?? '-',
      row.found ? (row.last_accessed ?? 'never') : '-',
      resultOf(row),
    ]),
  )
}

const RESULTS: Record<NonNullable<Row['why']>, string> = {
  not_found: 'not found',
  already_revoked: 'revoked before',
  dry_run: 'would be revoked',
  secret_retired: 'not revoked: the secret is dead',
  store_unavailable: 'NOT revoked: try again',
  token_damaged: 'NOT revoked: damaged, and accepted nowhere',
  conflict: 'NOT revoked: try again',
}

const FINE: readonly Row['why'][] = [null, 'dry_run', 'already_revoked', 'secret_retired']

const resultOf = ({ why }: Row): string => (why === null ? 'revoked' : RESULTS[why])
