import type { Audited, Finding } from '../../src/application/audit/decisions.ts'
import { auditDecisions, REVOCATION_BOUND_MS } from '../../src/application/audit/decisions.ts'
import { withEventStore } from '../cli/stores.ts'
import { storedSettings } from '../cli/storedSettings.ts'
import { defineCommand, type ExitCode, JSON_OPTION, WrongUse } from '../cli/command.ts'
import { damageText } from '../cli/damage.ts'
import { plural, printable, progress } from '../cli/output.ts'
import { jsonList } from '../cli/jsonList.ts'

const MAX_TOLERANCE_MS = 86_400_000

export const audit = defineCommand({
  name: 'audit',
  summary: 'Find uses of tokens that their history does not allow: audit decisions.',
  usage: 'decisions [--tolerance <milliseconds>] [--json]',
  help: [
    'Reads the whole log and holds each use to what the log said of its token before that use was stored. Certain:',
    'accepted on a revision at which the token was revoked, or that it never had, or with a secret that was dead on',
    'that revision; no clock is looked at. Possible: accepted on an older revision, or with a secret whose grace had',
    `ended, and counted later than ${REVOCATION_BOUND_MS} ms after that end or the revocation (what another process may take to`,
    'hear of it), by the times in the events; clocks that differ, a request that lasted (a use is counted when its',
    'answer ends) or a revocation that was answered late would explain it. Exit code 1 if any is found.',
  ].join('\n'),
  args: ['decisions'],
  options: {
    tolerance: {
      type: 'string',
      value: '<milliseconds>',
      help: 'What clocks may differ by and requests may last, besides. Default: 0.',
    },
    json: JSON_OPTION,
  },
  async run({ values, args }, io): Promise<ExitCode> {
    const settings = storedSettings(io)
    if (args[0] !== 'decisions') throw new WrongUse('What can be audited: decisions.')
    const toleranceMs = toleranceFrom(values.tolerance ?? '0')
    const bar = progress(io, 1)
    const write = (text: string): Promise<void> => {
      bar.done()
      return io.write(text)
    }
    const list = values.json ? jsonList(write, 'found') : null
    try {
      bar.step('reading the log')
      const audited = await withEventStore(settings, ({ store }) =>
        auditDecisions(store, {
          toleranceMs,
          onFinding: (finding) => (list ? list.add(shown(finding)) : write(`${findingText(finding)}\n`)),
          onDamage: (damage) =>
            list ? list.add({ kind: 'damage', ...damage }) : write(`${damageText(damage)}\n`),
          onProgress: (events) => bar.at(null, events),
        }),
      )
      const isClean = audited.findings === 0 && audited.damages === 0
      await (list ? list.end({ ok: isClean, ...presentAudited(audited) }) : write(summary(audited)))
      return isClean ? 0 : 1
    } finally {
      bar.done()
    }
  },
})

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
