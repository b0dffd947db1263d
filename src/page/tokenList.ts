import { type Place, place } from './address.ts'
import { ask, type Problem, problemOf } from './api.ts'
import { EXPIRING_DAYS } from './parts.ts'
import { redraw, session, type Token } from './store.ts'

const PAGE = 50
/** For how many days each row has a bar. */
const DAYS = 30
const UNUSED_DAYS = 90

interface Counts {
  live: number
  expiring: number
  never_expires: number
  unused: number
}

interface TokenPage {
  data: Token[]
  next_cursor: string | null
  counts?: Counts
}

/** The list as it is shown. */
export const tokens = {
  rows: [] as Token[],
  next: null as string | null,
  counts: null as Counts | null,
  isLoading: false,
  problem: null as Problem | null,
  selected: new Set<string>(),
}

/** Somebody else is shown from now on. */
export function forgetList(): void {
  tokens.rows = []
  tokens.next = null
  tokens.counts = null
  tokens.selected.clear()
}

let asked = 0

const queryOf = (at: Place, cursor: string | null) => ({
  limit: PAGE,
  cursor,
  q: at.q,
  sort: at.sort,
  status: at.only === '' ? at.status : 'live',
  ...(at.only === 'expiring' ? { expiring_days: EXPIRING_DAYS } : {}),
  ...(at.only === 'never' ? { never_expires: true } : {}),
  ...(at.only === 'unused' ? { unused_days: UNUSED_DAYS } : {}),
  daily: DAYS,
  ...(cursor === null ? { counts: true } : {}),
})

/** Reads the list from its beginning, or the next page of it. */
export async function loadList(more = false): Promise<void> {
  const turn = ++asked
  tokens.isLoading = true
  tokens.problem = null
  redraw()
  try {
    const path = isOfAll() ? 'admin/api-tokens' : 'tokens'
    const { body } = await ask<TokenPage>(path, { query: queryOf(place, more ? tokens.next : null) })
    if (turn !== asked) return
    tokens.rows = more ? [...tokens.rows, ...body.data] : body.data
    tokens.next = body.next_cursor
    if (body.counts) tokens.counts = body.counts
    const ids = new Set(tokens.rows.map(({ id }) => id))
    for (const id of tokens.selected) if (!ids.has(id)) tokens.selected.delete(id)
  } catch (error) {
    if (turn !== asked) return
    tokens.problem = problemOf(error)
  }
  tokens.isLoading = false
  redraw()
}

export const isOfAll = (): boolean => place.all && session().is_operator

export const mayWrite = (): boolean => session().can_write && !isOfAll()

/** Focus on the token's link; if it is gone, on that of the next row, or else on the first button. */
export function focusRow(id: string, index = -1): void {
  const links = [...document.querySelectorAll<HTMLElement>('tr[data-token] .name a')]
  const own = document.querySelector<HTMLElement>(`tr[data-token="${CSS.escape(id)}"] .name a`)
  const target =
    own ?? links[Math.min(index, links.length - 1)] ?? document.querySelector<HTMLElement>('.counter')
  target?.focus()
}
