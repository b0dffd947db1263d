import type { Audited, Finding } from '../../src/application/audit/decisions.ts'
import { auditDecisions, REVOCATION_BOUND_MS } from '../../src/application/audit/decisions.ts'
import { auditSessions, type OpenedSession } from '../../src/application/audit/sessions.ts'
import type { Damage } from '../../src/application/audit/verifyLog.ts'
import type { EventStore } from '../../src/application/ports/eventStore.ts'
import type { Settings } from '../../src/settings/settings.ts'
import { withEventStore } from '../cli/stores.ts'
import { storedSettings } from '../cli/storedSettings.ts'
import { defineCommand, type ExitCode, type Io, JSON_OPTION, WrongUse } from '../cli/command.ts'
import { damageText } from '../cli/damage.ts'
import { plural, printable, progress } from '../cli/output.ts'
import { jsonList } from '../cli/jsonList.ts'

const MAX_TOLERANCE_MS = 86_400_000

export const audit = defineCommand({
  name: 'audit',
  summary:
    'Find uses of tokens that their history does not allow: audit decisions. Who opened the page: audit sessions.',
  usage: 'decisions [--tolerance <milliseconds>] [--json] | sessions [--account <id>] [--json]',
  help: [
    'Both read the whole log, and check each event against the one before it.',
    '`decisions` holds each use to what the log said of its token before that use was stored. Certain:',
    'accepted on a revision at which the token was revoked, or that it never had, or with a secret that was dead on',
    'that revision; no clock is looked at. Possible: accepted on an older revision, or with a secret whose grace had',
    `ended, and counted later than ${REVOCATION_BOUND_MS} ms after that end or the revocation (what another process may take to`,
    'hear of it), by the times in the events; clocks that differ, a request that lasted (a use is counted when its',
    'answer ends) or a revocation that was answered late would explain it. Exit code 1 if any is found.',
    '`sessions` lists who opened the page by a link, when, from where, and with which rights. Exit code 1 if a part',
    'of the log is damaged.',
  ].join('\n'),
  args: ['decisions|sessions'],
  options: {
    tolerance: {
      type: 'string',
      value: '<milliseconds>',
      help: 'Of decisions: what clocks may differ by and requests may last, besides. Default: 0.',
    },
    account: { type: 'string', value: '<id>', help: 'Of sessions: only those of this account.' },
    json: JSON_OPTION,
  },
  run({ values: { tolerance, account, json }, args: [what] }, io): Promise<ExitCode> {
    const settings = storedSettings(io)
    const output = outputOf(io, json === true)
    if (what === 'decisions' && account === undefined)
      return decisions(settings, toleranceFrom(tolerance ?? '0'), output)
    if (what === 'sessions' && tolerance === undefined) return sessions(settings, account ?? null, output)
    throw new WrongUse(
      'What can be audited: decisions [--tolerance <milliseconds>], sessions [--account <id>].',
    )
  },
})

/** Where rows go: lines for people, or a list of JSON. */
function outputOf(io: Io, asJson: boolean) {
  const bar = progress(io, 1)
  const write = (text: string): Promise<void> => {
    bar.done()
    return io.write(text)
  }
  const list = asJson ? jsonList(write, 'found') : null
  return {
    bar,
    row: (shown: object, text: string): Promise<void> => (list ? list.add(shown) : write(`${text}\n`)),
    end: (sums: object, text: string): Promise<void> => (list ? list.end(sums) : write(text)),
  }
}
type Output = ReturnType<typeof outputOf>

async function auditing<T extends { damages: number }>(
  settings: Settings,
  { bar, row }: Output,
  audited: (store: EventStore, how: Common) => Promise<T>,
): Promise<T> {
  bar.step('reading the log')
  const onDamage = (damage: Damage) => row({ kind: 'damage', ...damage }, damageText(damage))
  try {
    return await withEventStore(settings, ({ store }) =>
      audited(store, { onDamage, onProgress: (events) => bar.at(null, events) }),
    )
  } finally {
    bar.done()
  }
}

interface Common {
  onDamage(damage: Damage): Promise<void>
  onProgress(events: number): void
}

async function decisions(settings: Settings, toleranceMs: number, output: Output): Promise<ExitCode> {
  const audited = await auditing(settings, output, (store, common) =>
    auditDecisions(store, {
      toleranceMs,
      onFinding: (finding) => output.row(shown(finding), findingText(finding)),
      ...common,
    }),
  )
  const isClean = audited.findings === 0 && audited.damages === 0
  await output.end({ ok: isClean, ...presentAudited(audited) }, summary(audited))
  return isClean ? 0 : 1
}

async function sessions(settings: Settings, accountId: string | null, output: Output): Promise<ExitCode> {
  const audited = await auditing(settings, output, (store, common) =>
    auditSessions(store, {
      accountId,
      onSession: (session) => output.row(shownSession(session), sessionText(session)),
      ...common,
    }),
  )
  const { events, sessions: opened, damages } = audited
  const isSound = damages === 0
  const damaged = isSound ? '' : `, ${plural(damages, 'place')} damaged: what stands there is not shown`
  await output.end(
    { ok: isSound, events, sessions: opened },
    `${plural(events, 'event')}, ${plural(opened, 'session')}${damaged}.\n`,
  )
  return isSound ? 0 : 1
}

const shownSession = ({ can, ...session }: OpenedSession): object => ({
  kind: 'session',
  session_id: session.sessionId,
  at: session.at,
  expires_at: session.expiresAt,
  account_id: session.accountId,
  subject: session.subject,
  can,
  return_url: session.returnUrl,
  ip: session.ip,
  user_agent: session.userAgent,
  request_id: session.requestId,
})

const sessionText = ({ at, subject, accountId, can, ip, userAgent, requestId }: OpenedSession): string =>
  printable(
    `${at}  ${subject} of account ${accountId} may ${can.join(', ')}, from ${ip ?? 'an unknown address'}, ` +
      `${userAgent ?? 'an unknown program'} (request ${requestId})`,
  )

function toleranceFrom(text: string): number {
  const milliseconds = Number(text)
  if (!/^\d{1,8}$/.test(text) || milliseconds > MAX_TOLERANCE_MS) {
    throw new WrongUse(`--tolerance must be a whole number of milliseconds, at most ${MAX_TOLERANCE_MS}.`)
  }
  return milliseconds
}

const shown = (finding: Finding): object => ({
  kind: finding.kind,
  what: finding.what,
  token_id: finding.tokenId,
  stream: finding.stream,
  revision: finding.revision,
  first_at: finding.firstAt,
  last_at: finding.lastAt,
  token_revision: finding.tokenRevision,
  secret: finding.secret,
  uses: { at_least: finding.uses.atLeast, at_most: finding.uses.atMost },
  revoked_at: finding.revokedAt,
  secret_until: finding.secretUntil,
  late_ms: finding.lateMs,
})

function findingText({ kind, what, tokenId, uses, lateMs, ...of }: Finding): string {
  const { atLeast, atMost } = uses
  const count = atLeast === atMost ? plural(atMost, 'use') : `${atLeast} to ${plural(atMost, 'use')}`
  const late = lateMs === null ? '' : `, by up to ${lateMs} ms`
  return printable(
    `${kind}: token ${tokenId}, ${count} from ${of.firstAt} to ${of.lastAt} on revision ${of.tokenRevision} with the secret of revision ${of.secret}: ` +
      `${what}${late} (revision ${of.revision} of ${of.stream})`,
  )
}

const presentAudited = (audited: Audited): object => ({
  events: audited.events,
  uses: audited.uses,
  retired_secret_uses: audited.retiredSecretUses,
  revoked_tokens: audited.revokedTokens,
  within_bound: audited.withinBound,
  shortened: audited.shortened,
})

function summary({ withinBound, shortened, damages, findings, ...sums }: Audited): string {
  const { events, uses, revokedTokens, retiredSecretUses: retired } = sums
  const lines = [
    `${plural(events, 'event')}, ${plural(uses, 'use')}, ${plural(revokedTokens, 'revoked token')}`,
    `${plural(withinBound, 'use')} on an older revision within ${REVOCATION_BOUND_MS} ms of a revocation or of the end of a secret, as they may be.`,
  ]
  if (retired > 0)
    lines.push(`${plural(retired, 'request')} with a secret that had retired, refused as it should be.`)
  if (shortened > 0)
    lines.push(`${plural(shortened, 'usage stream')} shortened by retention: what is gone is not checked.`)
  if (damages > 0) lines.push(`${plural(damages, 'place')} damaged: what stands there is not checked.`)
  lines.push(
    findings === 0
      ? 'No revoked token and no retired secret was accepted.'
      : `${plural(findings, 'finding')}.`,
  )
  return `${lines.join('\n')}\n`
}
