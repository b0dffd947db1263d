import type { FoundThen } from '../../src/application/tokens/asOf.ts'
import type { UsesAround, UseWindow, Verdict } from '../../src/application/audit/explain.ts'
import { presentEvent } from '../../src/presentation/tokens.ts'
import type { RetiredEntry } from '../../src/domain/usageEntries.ts'
import type { ExistingToken } from '../../src/domain/token.ts'
import { asOfSound, historyOf, missingText } from '../../src/application/tokens/asOf.ts'
import { type EventReads, withEventStore } from '../cli/stores.ts'
import { assessUses, hintOfSecret, usesAround } from '../../src/application/audit/explain.ts'
import { storedSettings } from '../cli/storedSettings.ts'
import { defineCommand, JSON_OPTION, NotFound, tokenIdFrom } from '../cli/command.ts'
import { flawText, UNKNOWN_THEN } from '../cli/damage.ts'
import { timeOrDate } from '../cli/input.ts'
import { json, plural, printable, type Progress, progress, table } from '../cli/output.ts'
import { eventsTable, NOT_YET, tokenTable, tokenThen } from '../cli/tokenTables.ts'

export const explain = defineCommand({
  name: 'explain',
  summary: 'Why was this token accepted, or refused, at that time?',
  usage: '<token-id> <time> [--json]',
  help: [
    'What its history said then, who had made it so, and the uses recorded around that time with the revision that',
    'each was decided on. Uses are recorded by flush windows, from the first to the last use in each, at the end of',
    'the answer; refused requests are not recorded, but in the log of the service. Looks through the whole log. A date',
    'alone is the end of that day (UTC). Of a time that has not come yet it says so. What is missing, or is not what was',
    'written, is named; then the exit code is 1.',
  ].join('\n'),
  args: ['<token-id>', '<time>'],
  options: { json: JSON_OPTION },
  async run({ values, args: [id = '', time = ''] }, io) {
    const settings = storedSettings(io)
    const tokenId = tokenIdFrom(id, '<token-id>')
    const at = timeOrDate(time, '<time>', 'last')
    const now = new Date(io.now()).toISOString()
    const bar = progress(io, 1)
    try {
      const explained = await withEventStore(settings, (reads) => explainAt(reads, { tokenId, at, now }, bar))
      bar.done()
      io.out(values.json ? json(explained.shown) : explained.text)
      if (!values.json) for (const damage of explained.damages) io.err(`${damage}\n`)
      return explained.damages.length > 0 ? 1 : 0
    } finally {
      bar.done()
    }
  },
})

interface Asked {
  tokenId: string
  at: string
  now: string
}

/** @throws NotFound if there was no such token */
async function explainAt({ store, tokenEvents }: EventReads, { tokenId, at, now }: Asked, bar: Progress) {
  const sound = await tokenEvents(tokenId)
  const { events, flaws } = sound
  if (events.length === 0 && flaws.length === 0) throw new NotFound('There is no such token.')
  const then = asOfSound(sound, { time: at })
  if (then?.found === false) throw new NotFound(missingText(then.why))
  bar.step('reading the log')
  const around = await usesAround(store, tokenId, at, (count) => bar.at(null, count))
  const uses = listOf(around).map((use) => ({
    ...use,
    hint: hintOfSecret(sound, use.window.data.secret),
    verdict: assessUses(sound, use.window),
  }))
  const retired = around.retired.map((entry) => ({ ...entry, hint: hintOfSecret(sound, entry.secret) }))
  const history = historyOf(then ? then.events : events).map(presentEvent)
  const token = then && tokenThen(tokenId, then)
  const decision = then && decisionOf(then)
  const isFuture = at > now
  const damages = [
    ...flaws.map((flaw) => flawText(tokenId, flaw)),
    ...around.damages.map((damage) => printable(`Uses may be missing: ${damage}.`)),
  ]
  return {
    damages,
    shown: {
      token_id: tokenId,
      at,
      in_future: isFuture,
      decision,
      token,
      events: history,
      uses: uses.map(shownUse),
      retired: retired.map(shownRetired),
      lost: around.lost,
      ...(flaws.length > 0 ? { damaged: flaws } : {}),
      ...(around.damages.length > 0 ? { uses_damaged: around.damages } : {}),
    },
    text: [
      `${eventsTable(history)}\nAt ${at}\n${isFuture ? NOT_YET : ''}${token ? tokenTable(token) : ''}${decision ? decisionText(decision) : UNKNOWN_THEN}\n`,
      uses.length === 0 ? 'No use of it is recorded.\n' : usesTable(uses),
      ...retired.map(
        ({ count, hint, firstAt, lastAt }) =>
          `${plural(count, 'request')} with ${hint ?? 'a secret'}, which had retired, refused from ${firstAt} to ${lastAt}.\n`,
      ),
      ...around.lost.map(
        (lost) => `${plural(lost.count, 'use')} of any tokens could not be kept: ${lost.cause}.\n`,
      ),
    ].join('\n'),
  }
}

type Place = 'during' | 'before' | 'after'

interface ListedUse {
  place: Place
  window: UseWindow
}

function listOf({ before, during, after }: UsesAround): ListedUse[] {
  const one = (place: Place, window: UseWindow | null): ListedUse[] => (window ? [{ place, window }] : [])
  return [
    ...one('before', before),
    ...during.flatMap((window) => one('during', window)),
    ...one('after', after),
  ]
}

/** What should have happened to a request at that time, by the token's history. */
const decisionOf = ({ status, token, at }: FoundThen) => ({
  outcome: status === 'active' ? 'accepted' : 'refused',
  status,
  revision: token.revision,
  // The secrets that are accepted, and until when.
  secrets: status === 'active' ? secretsAt(token, at) : [],
  // Null: from any address.
  allowed_ips: status === 'active' ? token.allowedIps : null,
})

function secretsAt({ secret, rotation }: ExistingToken, at: string) {
  const newer = rotation ? [{ hint: rotation.secret.hint, until: null }] : []
  const until = rotation?.retiresAt ?? null
  const older = until === null || at < until ? [{ hint: secret.hint, until }] : []
  return [...newer, ...older]
}

function decisionText({
  outcome,
  status,
  revision,
  secrets,
  allowed_ips: addresses,
}: ReturnType<typeof decisionOf>): string {
  const shown = secrets.map(({ hint, until }) => `${hint}${until === null ? '' : ` until ${until}`}`)
  const which = shown.length > 0 ? `, with ${shown.join(' or ')}` : ''
  const from = addresses === null ? '' : `, from these addresses only: ${addresses.join(', ')}`
  return `By its history a request at that time is ${outcome}: at revision ${revision} the token is ${status}${which}${from}.`
}

type AssessedUse = ListedUse & { hint: string | null; verdict: Verdict }

const shownUse = ({ place, window: { stream, revision, data }, hint, verdict }: AssessedUse): object => ({
  place,
  first_at: data.firstAt,
  last_at: data.lastAt,
  requests: data.count,
  outcomes: data.outcomes,
  routes: data.routes,
  last_ip: data.lastIp,
  last_user_agent: data.lastUserAgent,
  token_revision: data.tokenRevision,
  secret: { revision: data.secret, hint },
  verdict,
  stream,
  revision,
})

const shownRetired = ({ hint, ...entry }: RetiredEntry & { hint: string | null }): object => ({
  first_at: entry.firstAt,
  last_at: entry.lastAt,
  requests: entry.count,
  secret: { revision: entry.secret, hint },
  last_ip: entry.lastIp,
  last_user_agent: entry.lastUserAgent,
})

const usesTable = (uses: readonly AssessedUse[]): string =>
  table(
    ['uses', 'first', 'last', 'accepted', 'on revision', 'with', 'address', 'that revision'],
    uses.map(({ place, window: { data }, hint, verdict }) => [
      place,
      data.firstAt,
      data.lastAt,
      data.count,
      data.tokenRevision,
      hint ?? 'unknown',
      data.lastIp ?? 'none',
      verdictText(verdict),
    ]),
  )

function verdictText(verdict: Verdict): string {
  switch (verdict.kind) {
    case 'current':
      return 'was the newest'
    case 'behind':
      return `had been overtaken by revision ${verdict.change.revision} (${verdict.change.type}) ${verdict.ms} ms before the last use`
    case 'unknown':
      return 'cannot be told: the history is damaged there'
    case 'impossible':
      return IMPOSSIBLE[verdict.why]
    case 'retired':
      return `had a secret that retired at ${verdict.retiredAt}, ${verdict.ms} ms before the last use`
  }
}

const IMPOSSIBLE = {
  revoked: 'IS THAT OF A REVOKED TOKEN',
  'no such revision': 'IS NONE OF THIS TOKEN',
  'dead secret': 'HAD NO SUCH SECRET ANY MORE',
  'no such secret': 'NEVER HAD SUCH A SECRET',
}
