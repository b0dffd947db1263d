import type { FoundThen } from '../../src/application/tokens/asOf.ts'
import type { UsesAround, UseWindow, Verdict } from '../../src/application/audit/explain.ts'
import { presentEvent } from '../../src/presentation/tokens.ts'
import { asOf, historyOf, missingText, parseMoment } from '../../src/application/tokens/asOf.ts'
import { type EventReads, withEventStore } from '../cli/stores.ts'
import { assessUses, usesAround } from '../../src/application/audit/explain.ts'
import { storedSettings } from '../cli/storedSettings.ts'
import { defineCommand, JSON_OPTION, NotFound, tokenIdFrom, WrongUse } from '../cli/command.ts'
import { json, plural, type Progress, progress, table } from '../cli/output.ts'
import { eventsTable, tokenTable, tokenThen } from '../cli/tokenTables.ts'

export const explain = defineCommand({
  name: 'explain',
  summary: 'Why was this token accepted, or refused, at that time?',
  usage: '<token-id> <time> [--json]',
  help: [
    'What its history said then, who had made it so, and the uses recorded around that time with the revision that',
    'each was decided on. Uses are recorded by flush windows, from the first to the last use in each, at the end of',
    'the answer; refused requests are not recorded, but in the log of the service. Looks through the whole log.',
  ].join('\n'),
  args: ['<token-id>', '<time>'],
  options: { json: JSON_OPTION },
  async run({ values, args: [id = '', time = ''] }, io) {
    const settings = storedSettings(io)
    const tokenId = tokenIdFrom(id, '<token-id>')
    const at = timeFrom(time)
    const bar = progress(io, 1)
    try {
      const explained = await withEventStore(settings, (reads) => explainAt(reads, tokenId, at, bar))
      bar.done()
      io.out(values.json ? json(explained.shown) : explained.text)
      return 0
    } finally {
      bar.done()
    }
  },
})

function timeFrom(text: string): string {
  const moment = parseMoment(text)
  if (moment && 'time' in moment) return moment.time
  throw new WrongUse('<time> must be an RFC 3339 time (2026-11-23T09:00:00Z).')
}

/** @throws NotFound for a token that there was not */
async function explainAt({ store, tokenEvents }: EventReads, tokenId: string, at: string, bar: Progress) {
  const events = await tokenEvents(tokenId)
  const then = asOf(events, { time: at })
  if (!then.found) throw new NotFound(missingText(then.why))
  bar.step('reading the log')
  const around = await usesAround(store, tokenId, at, (count) => bar.at(null, count))
  const uses = listOf(around).map((use) => ({ ...use, verdict: assessUses(events, use.window) }))
  const history = historyOf(then.events).map(presentEvent)
  const token = tokenThen(tokenId, then)
  const decision = decisionOf(then)
  return {
    shown: {
      token_id: tokenId,
      at,
      decision,
      token,
      events: history,
      uses: uses.map(shownUse),
      lost: around.lost,
    },
    text: [
      `${eventsTable(history)}\nAt ${at}\n${tokenTable(token)}\n${decisionText(decision)}\n`,
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

/** What the history says should have become of a request at that time. */
const decisionOf = ({ status, token }: FoundThen) => ({
  outcome: status === 'active' ? 'accepted' : 'refused',
  status,
  revision: token.revision,
})

const decisionText = ({ outcome, status, revision }: ReturnType<typeof decisionOf>): string =>
  `By its history a request at that time is ${outcome}: at revision ${revision} the token is ${status}.`

type JudgedUse = ListedUse & { verdict: Verdict }

const shownUse = ({ place, window: { stream, revision, data }, verdict }: JudgedUse): object => ({
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

const usesTable = (uses: readonly JudgedUse[]): string =>
  table(
    ['uses', 'first', 'last', 'accepted', 'on revision', 'address', 'which'],
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
    case 'impossible':
      return verdict.why === 'revoked' ? 'IS THAT OF A REVOKED TOKEN' : 'IS NONE OF THIS TOKEN'
  }
}
