import type { PageTexts } from './texts.ts'

/** What the server answers about the page, about who is logged in, and about tokens. */

export interface Config {
  title: string
  lang: string
  texts: Partial<PageTexts>
  try_url: string | null
  return_url: string | null
  token_header: string
  /** Are there links that open the page? Otherwise people log in to the host's app. */
  opens_by_link: boolean
}

export interface Session {
  account_id: string
  subject: string | null
  can_write: boolean
  is_operator: boolean
  scopes: { name: string; description?: string }[] | null
  max_lifetime_days: number | null
  expires_at: string | null
  return_url: string | null
}

export interface Rotation {
  status: 'pending' | 'grace'
  hint: string
  started_at: string
  retires_at: string | null
}

export interface Token {
  id: string
  account_id: string
  name: string
  description: string | null
  metadata: Record<string, string>
  hint: string
  scopes: string[]
  allowed_ips: string[] | null
  rotatable: boolean
  rotation: Rotation | null
  status: 'active' | 'expired' | 'revoked' | 'damaged'
  created_by: { kind: string; id: string }
  created_at: string
  updated_at: string
  last_accessed: string | null
  expires_at: string | null
  revoked_at: string | null
  revision: number
  daily?: number[]
}

export interface TokenEvent {
  id: string
  type: string
  at: string
  actor: { kind: string; id: string }
  data: Record<string, unknown>
}

/** Why nobody is logged in. */
export type Absence = 'none' | 'over' | 'signedOut' | 'refused' | 'used' | 'failed'

export type Phase =
  | { kind: 'starting' }
  | { kind: 'out'; why: Absence; again: () => Promise<void> }
  /** The link is of another account than the session. */
  | { kind: 'switching'; code: string }
  | { kind: 'in'; session: Session }

interface Shared {
  config: Config
  phase: Phase
  isOnline: boolean
  isRetrying: boolean
  /** Read out, and shown for a while. */
  notice: string
}

export const shared: Shared = {
  config: {
    title: '',
    lang: 'en',
    texts: {},
    try_url: null,
    return_url: null,
    token_header: '',
    opens_by_link: true,
  },
  phase: { kind: 'starting' },
  isOnline: navigator.onLine,
  isRetrying: false,
  notice: '',
}

let draw = (): void => {}
let isDrawing = false

/** Draws the page anew, once for all that changes in one turn. */
export function redraw(): void {
  if (isDrawing) return
  isDrawing = true
  queueMicrotask(() => {
    isDrawing = false
    draw()
  })
}

export function drawWith(how: () => void): void {
  draw = how
}

const NOTICE_MS = 8_000
let clearing = 0

/** Says something in the status region. */
export function say(notice: string): void {
  shared.notice = notice
  redraw()
  clearTimeout(clearing)
  clearing = window.setTimeout(() => {
    shared.notice = ''
    redraw()
  }, NOTICE_MS)
}

/** What was said is of a view that is left now. */
export function hush(): void {
  shared.notice = ''
}

export const session = (): Session => {
  if (shared.phase.kind !== 'in') throw new Error('nobody is logged in')
  return shared.phase.session
}
