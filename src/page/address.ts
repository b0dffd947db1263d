import { hush, redraw } from './store.ts'

/** What of the page's state stands in the URL, so that it can be bookmarked, shared, and gone back to. */
export interface Place {
  /** The token that is shown; null: the list. */
  token: string | null
  q: string
  status: string
  sort: string
  /** A counter that filters. */
  only: '' | 'expiring' | 'never' | 'unused'
  /** An operator looks at all accounts. */
  all: boolean
}

const ONLY = ['', 'expiring', 'never', 'unused'] as const
const STATUS = ['live', 'active', 'expired', 'revoked', 'all']
const SORT = ['-created_at', 'created_at', 'name', '-last_accessed', 'last_accessed', 'expires_at']
const oneOf = <T extends string>(list: readonly T[], value: string | null): T =>
  list.find((one) => one === value) ?? (list[0] as T)

export function placeOf(search: string): Place {
  const params = new URLSearchParams(search)
  return {
    token: params.get('token'),
    q: (params.get('q') ?? '').slice(0, 100),
    status: oneOf(STATUS, params.get('status')),
    sort: oneOf(SORT, params.get('sort')),
    only: oneOf(ONLY, params.get('only')),
    all: params.get('all') === 'true',
  }
}

const usual = placeOf('')

export function searchOf(place: Place): string {
  const params = new URLSearchParams()
  for (const [name, value] of Object.entries(place))
    if (value !== usual[name as keyof Place]) params.set(name, String(value))
  const text = params.toString()
  return text === '' ? location.pathname : `?${text}`
}

export let place = placeOf(location.search)
const listeners: (() => void)[] = []

export function onMove(listener: () => void): void {
  listeners.push(listener)
}

function moved(next: Place): void {
  place = next
  hush()
  for (const listener of listeners) listener()
  redraw()
}

/** @param isStep does "back" lead here? Not for each letter of a search */
export function go(change: Partial<Place>, isStep = true): void {
  const next = { ...place, ...change }
  if (isStep) history.pushState(null, '', searchOf(next))
  else history.replaceState(null, '', searchOf(next))
  moved(next)
}

addEventListener('popstate', () => moved(placeOf(location.search)))

/** For links that a click follows without loading the page anew. */
export function follow(event: MouseEvent, change: Partial<Place>): void {
  if (event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return
  event.preventDefault()
  go(change)
}
