/** The result of one check of doctor. */
export interface Check {
  name: string
  /** `warn`: it works, but somebody should know. `fail`: it does not work, or soon will not. */
  status: 'ok' | 'warn' | 'fail'
  detail: string
  /** What to do about it, in one line; null if nothing has to be done. */
  remedy: string | null
  /** Numbers and names for programs, in snake_case. */
  facts: Record<string, unknown>
}

type Facts = Check['facts']

export const ok = (name: string, detail: string, facts: Facts = {}): Check => ({
  name,
  status: 'ok',
  detail,
  remedy: null,
  facts,
})

export const warn = (name: string, detail: string, remedy: string, facts: Facts = {}): Check => ({
  name,
  status: 'warn',
  detail,
  remedy,
  facts,
})

export const fail = (name: string, detail: string, remedy: string, facts: Facts = {}): Check => ({
  name,
  status: 'fail',
  detail,
  remedy,
  facts,
})
