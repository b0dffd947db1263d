import type { FoundThen } from '../../src/application/tokens/asOf.ts'
import type { UsesAround, UseWindow, Verdict } from '../../src/application/audit/explain.ts'
import { presentEvent } from '../../src/presentation/tokens.ts'
import { asOfSound, historyOf, missingText } from '../../src/application/tokens/asOf.ts'
import { type EventReads, withEventStore } from '../cli/stores.ts'
import { assessUses, usesAround } from '../../src/application/audit/explain.ts'
import { storedSettings } from '../cli/storedSettings.ts'
import { defineCommand, JSON_OPTION, NotFound, tokenIdFrom } from '../cli/command.ts'
import { flawText, UNKNOWN_THEN } from '../cli/damage.ts'
import { timeOrDate } from '../cli/input.ts'
import { json, plural, printable, type Progress, progress, table } from '../cli/output.ts'
import { eventsTable, tokenTable, tokenThen } from '../cli/tokenTables.ts'

export const explain = defineCommand({
  name: 'explain',
  summary: 'Why was this token accepted, or refused, at that time?',
  usage: '<token-id> <time> [--json]',
  help: [
    'What its history said then, who had made it so, and the uses recorded around that time with the revision that',
    'each was decided on. Uses are recorded by flush windows, from the first to the last use in each, at the end of',
    'the answer; refused requests are not recorded, but in the log of the service. Looks through the whole log. A date',
    'alone is the end of that day (UTC). What is missing, or is not what was written, is named; then the exit code is 1.',
  ].join('\n'),
  args: ['<token-id>', '<time>'],
  options: { json: JSON_OPTION },
  async run({ values, args: [id = '', time = ''] }, io) {
    const settings = storedSettings(io)
    const tokenId = tokenIdFrom(id, '<token-id>')
    const at = timeOrDate(time, '<time>', 'last')
    const bar = progress(io, 1)
    try {
      const explained = await withEventStore(settings, (reads) => explainAt(reads, tokenId, at, bar))
      bar.done()
      io.out(values.json ? json(explained.shown) : explained.text)
      if (!values.json) for (const damage of explained.damages) io.err(`${damage}\n`)
      return explained.damages.length > 0 ? 1 : 0
    } finally {
      bar.done()
    }
  },
})

/** @throws NotFound if there was no such token */
async function explainAt({ store, tokenEvents }: EventReads, tokenId: string, at: string, bar: Progress) {
  const sound = await tokenEvents(tokenId)
  const { events, flaws } = sound
  if (events.length === 0 && flaws.length === 0) throw new NotFound('There is no such token.')
  const then = asOfSound(sound, { time: at })
  if (then?.found === false) throw new NotFound(missingText(then.why))
  bar.step('reading the log')
  const around = await usesAround(store, tokenId, at, (count) => bar.at(null, count))
  const uses = listOf(around).map((use) => ({ ...use, verdict: assessUses(sound, use.window) }))
  const history = historyOf(then ? then.events : events).map(presentEvent)
  const token = then && tokenThen(tokenId, then)
  const decision = then && decisionOf(then)
  const damages = [
    ...flaws.map((flaw) => flawText(tokenId, flaw)),
    ...around.damages.map((damage) => printable(`Uses may be missing: ${damage}.`)),
  ]
  return {
    damages,
    shown: {
      token_id: tokenId,
      at,
      decision,
      token,
      events: history,
      uses: uses.map(shownUse),
      lost: around.lost,
      ...(flaws.length > 0 ? { damaged: flaws } : {}),
      ...(around.damages.length > 0 ? { uses_damaged: around.damages } : {}),
    },
    text: [
      `${eventsTable(history)}\nAt ${at}\n${token ? tokenTable(token) : ''}${decision ? decisionText(decision) : UNKNOWN_THEN}\n`,
      uses.length === 0 ? 'No use of it is recorded.\n' : usesTable(uses),
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
const decisionOf = ({ status, token }: FoundThen) => ({
  outcome: status === 'active' ? 'accepted' : 'refused',
  status,
  revision: token.revision,
})

const decisionText = ({ outcome, status, revision }: ReturnType<typeof decisionOf>): string =>
  `By its history a request at that time is ${outcome}: at revision ${revision} the token is ${status}.`

type AssessedUse = ListedUse & { verdict: Verdict }

const shownUse = ({ place, window: { stream, revision, data }, verdict }: AssessedUse): object => ({
  place,
  first_at: data.firstAt,
  last_at: data.lastAt,
  requests: data.count,
  outcomes: data.outcomes,
  routes: data.routes,
  last_ip: data.lastIp,
  last_user_agent: data.lastUserAgent,
  token_revision: data.tokenRevision,
  verdict,
  stream,
  revision,
})

const usesTable = (uses: readonly AssessedUse[]): string =>
  table(
    ['uses', 'first', 'last', 'accepted', 'on revision', 'address', 'that revision'],
    uses.map(({ place, window: { data }, verdict }) => [
      place,
      data.firstAt,
      data.lastAt,
      data.count,
      data.tokenRevision,
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
      return verdict.why === 'revoked' ? 'IS THAT OF A REVOKED TOKEN' : 'IS NONE OF THIS TOKEN'
  }
}
