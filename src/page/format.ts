import { english, type PageTexts } from './texts.ts'

let texts: PageTexts = english
let locale = 'en'

/** @param lang of the texts: dates are written in it, in the reader's own variety where they have one */
export function useTexts(given: Partial<PageTexts>, lang: string): void {
  texts = { ...english, ...given }
  locale = navigator.languages.find((one) => one.split('-')[0] === lang) ?? lang
  document.documentElement.lang = lang
}

type Values = Record<string, string | number>

/** The text of this name, with values in the place of what stands in braces. */
export const t = (name: keyof PageTexts, values: Values = {}): string =>
  texts[name].replace(/\{(\w+)\}/g, (whole, key: string) => {
    const value = values[key]
    return typeof value === 'number' ? number(value) : value === undefined ? whole : isolated(value)
  })

const RIGHT_TO_LEFT = /[\p{Script=Arabic}\p{Script=Hebrew}\p{Script=Syriac}\p{Script=Thaana}\p{Script=Nko}]/u

/** Text that runs from right to left would move what stands beside it. */
const isolated = (text: string): string => (RIGHT_TO_LEFT.test(text) ? `\u2068${text}\u2069` : text)

type Counted = { [N in keyof PageTexts]: N extends `${infer Stem}One` ? Stem : never }[keyof PageTexts]

export const count = (name: Counted, n: number): string =>
  t(`${name}${new Intl.PluralRules(locale).select(n) === 'one' ? 'One' : 'Other'}` as keyof PageTexts, { n })

export const number = (n: number): string => new Intl.NumberFormat(locale).format(n)

/** A day in UTC, as an axis names it. */
export const shortDay = (iso: string): string =>
  new Intl.DateTimeFormat(locale, { day: 'numeric', month: 'short', timeZone: 'UTC' }).format(new Date(iso))

export const hour = (iso: string): string =>
  new Intl.DateTimeFormat(locale, { hour: '2-digit', minute: '2-digit' }).format(new Date(iso))

export const day = (iso: string | number): string =>
  new Intl.DateTimeFormat(locale, { dateStyle: 'medium' }).format(new Date(iso))

export const moment = (iso: string | number): string =>
  new Intl.DateTimeFormat(locale, { dateStyle: 'medium', timeStyle: 'short' }).format(new Date(iso))

/** With seconds and the time zone: for what is compared with a log. */
export const exactly = (iso: string): string =>
  new Intl.DateTimeFormat(locale, { dateStyle: 'medium', timeStyle: 'long' }).format(new Date(iso))

const HOUR_MS = 3_600_000

/** The hour that begins then, from and to; nothing where it is not known. */
export const wholeHour = (iso: string): string => {
  const from = Date.parse(iso)
  const format = new Intl.DateTimeFormat(locale, { dateStyle: 'medium', timeStyle: 'short' })
  return Number.isNaN(from) ? '' : format.formatRange(from, from + HOUR_MS)
}

/** A day in UTC, as usage is counted. */
export const utcDay = (iso: string): string =>
  new Intl.DateTimeFormat(locale, { dateStyle: 'medium', timeZone: 'UTC' }).format(new Date(iso))

const UNITS = [
  ['year', 31_536_000],
  ['month', 2_592_000],
  ['day', 86_400],
  ['hour', 3_600],
  ['minute', 60],
] as const

/** How far a time is from now, in words: `3 days ago`, `in 2 weeks`. */
export function ago(iso: string, now = Date.now()): string {
  const seconds = (Date.parse(iso) - now) / 1000
  const words = new Intl.RelativeTimeFormat(locale, { numeric: 'auto' })
  for (const [unit, length] of UNITS)
    if (Math.abs(seconds) >= length) return words.format(Math.trunc(seconds / length), unit)
  return words.format(0, 'second')
}

/** A time of so many seconds in its largest whole unit: `1 day`, `90 minutes`. */
export function span(seconds: number): string {
  const [unit, length] = UNITS.find(([, one]) => seconds >= one && seconds % one === 0) ?? ['second', 1]
  return new Intl.NumberFormat(locale, { style: 'unit', unit, unitDisplay: 'long' }).format(seconds / length)
}

/** What an event is called; of a type that is not known here, its name. */
export const eventText = (type: string): string => (type in english ? t(type as keyof PageTexts) : type)

/** A moment as an `<input type="datetime-local">` has it. */
export function localInput(date: Date): string {
  const shifted = new Date(date.getTime() - date.getTimezoneOffset() * 60_000)
  return shifted.toISOString().slice(0, 16)
}
