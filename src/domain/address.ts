/**
 * Internet addresses as callers, proxies and settings write them. Inside, each is the eight groups of an IPv6 address.
 * An IPv4 address has the groups of `::ffff:a.b.c.d`, so that both ways of writing it are the same address.
 */
type Groups = readonly number[]

/** All addresses from one to another, as texts that sort as the addresses do. */
export interface Block {
  first: string
  last: string
}

/** The longest text that can be an address: an IPv6 address that ends as an IPv4 one does, in brackets, with a port. */
const LONGEST = '[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255]:65535'.length
const LARGEST_PORT = 65_535
const IN_BRACKETS = /^\[([^\]]*:[^\]]*)\](?::(\d{1,5}))?$/
const IPV4_WITH_PORT = /^([\d.]+):(\d{1,5})$/
const OCTET = '(25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)'
const IPV4 = new RegExp(`^${OCTET}\\.${OCTET}\\.${OCTET}\\.${OCTET}$`)
const GROUP = /^[0-9a-f]{1,4}$/i

const GROUPS = 8
const GROUP_BITS = 16
const ADDRESS_BITS = GROUPS * GROUP_BITS
/** Where the IPv4 address begins in the IPv6 address that stands for it. */
const IPV4_FROM_BIT = 96

/**
 * The canonical form of an address (RFC 5952, and IPv4 if an IPv6 address stands for one), without its port. It is a
 * new text, since a piece of a caller's header would keep all of the header in memory.
 * @returns null for a text that is no address
 */
export function canonicalAddress(text: string): string | null {
  const groups = text.length <= LONGEST ? withoutPort(text) : null
  return groups && format(groups)
}

/** The longest text that can be a block. */
const LONGEST_BLOCK = 'ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255/128'.length

/**
 * The canonical form of an address or a CIDR block. A block of IPv6 addresses that stand for IPv4 ones is written as
 * IPv4, and a block of one address as that address.
 * @returns null for a text that is neither, and for a block with bits behind its prefix
 */
export function canonicalBlock(text: string): string | null {
  if (text.length > LONGEST_BLOCK) return null
  try {
    const { groups, bits } = parseCidr(text)
    if (bits === ADDRESS_BITS) return format(groups)
    return `${format(groups)}/${isIpv4(groups) ? bits - IPV4_FROM_BIT : bits}`
  } catch {
    return null
  }
}

/** The unit of a limit: an IPv4 address, or the /64 of an IPv6 address, since a single caller has all of that. */
export function limitedAs(address: string): string {
  const groups = parse(address)
  if (!groups || isIpv4(groups)) return address
  return `${format([...groups.slice(0, 4), 0, 0, 0, 0])}/64`
}

/**
 * Addresses and CIDR blocks, separated by commas or white space.
 * @throws Error saying what is wrong, without any of the text
 */
export function parseBlocks(text: string): Block[] {
  const entries = text.split(/[\s,]+/).filter((entry) => entry !== '')
  if (entries.length === 0) throw new Error('must name addresses or CIDR blocks')
  return blocksOf(entries)
}

/**
 * Ready for `isInside`: in order, and none of them inside another.
 * @throws Error, as `parseBlocks`
 */
export function blocksOf(entries: readonly string[]): Block[] {
  const outer: Block[] = []
  const all = entries.map((entry) => blockOf(parseCidr(entry)))
  // Two CIDR blocks have either no address in common, or one of them has all of the other's.
  for (const block of all.sort(outerFirst)) if (block.last > (outer.at(-1)?.last ?? '')) outer.push(block)
  return outer
}

const outerFirst = (a: Block, b: Block): number =>
  a.first < b.first || (a.first === b.first && a.last > b.last) ? -1 : 1

/**
 * It takes about as long for a hundred blocks as for one.
 * @param blocks as `blocksOf` gives them
 * @param address in canonical form
 */
export function isInside(blocks: readonly Block[], address: string): boolean {
  const groups = parse(address)
  if (!groups) return false
  const key = keyOf(groups)
  let [from, to] = [0, blocks.length]
  // Before `from`, blocks begin with the address or before it; from `to` on, behind it.
  while (from < to) {
    const middle = (from + to) >> 1
    if ((blocks[middle] as Block).first <= key) from = middle + 1
    else to = middle
  }
  return from > 0 && key <= (blocks[from - 1] as Block).last
}

/**
 * May a token be used from this address?
 * @param allowedIps null: it may be used from anywhere
 * @param ip in canonical form; null: there is no address
 */
export const mayBeUsedFrom = (allowedIps: readonly Block[] | null, ip: string | null): boolean =>
  allowedIps === null || (ip !== null && isInside(allowedIps, ip))

/** IPv4 addresses are apart: a block of IPv6 addresses holds none of them, however large it is. */
const keyOf = (groups: Groups): string =>
  isIpv4(groups)
    ? `4${String.fromCharCode(groups[6] as number, groups[7] as number)}`
    : `6${String.fromCharCode(...groups)}`

const blockOf = ({ groups, bits }: Cidr): Block => ({
  first: keyOf(groups),
  last: keyOf(groups.map((group, i) => group | (0xffff & ~maskOf(bits, i)))),
})

/** An address, or a CIDR block by its first address. */
interface Cidr {
  groups: Groups
  /** How many bits of the groups count, from the first. */
  bits: number
}

function parseCidr(text: string): Cidr {
  const [, address = '', length] = /^([^/]*)(?:\/(0|[1-9]\d{0,2}))?$/.exec(text) ?? []
  const groups = parse(address)
  if (!groups) throw new Error('must be addresses and CIDR blocks, like 10.0.0.0/8 or 2001:db8::1')
  // The length of a prefix counts in the form in which the address is written.
  const skipped = address.includes(':') ? 0 : IPV4_FROM_BIT
  const bits = length === undefined ? ADDRESS_BITS : skipped + Number(length)
  if (bits > ADDRESS_BITS) throw new Error('must have no prefix longer than the address')
  const isClean = groups.every((group, i) => (group & ~maskOf(bits, i)) === 0)
  if (!isClean) throw new Error('must have no bits set behind the prefix of a block')
  return { groups, bits }
}

/** The bits of the i-th group that belong to a prefix. */
function maskOf(bits: number, i: number): number {
  const reached = Math.min(Math.max(bits - i * GROUP_BITS, 0), GROUP_BITS)
  return (0xffff << (GROUP_BITS - reached)) & 0xffff
}

const isIpv4 = ([a, b, c, d, e, f]: Groups): boolean =>
  f === 0xffff && a === 0 && b === 0 && c === 0 && d === 0 && e === 0

function withoutPort(text: string): Groups | null {
  const [, address = text, port = '0'] = IN_BRACKETS.exec(text) ?? IPV4_WITH_PORT.exec(text) ?? []
  return Number(port) <= LARGEST_PORT ? parse(address) : null
}

function parse(text: string): Groups | null {
  if (text.includes(':')) return parseIpv6(text)
  const ipv4 = parseIpv4(text)
  return ipv4 && [0, 0, 0, 0, 0, 0xffff, ...ipv4]
}

/** It goes through the text once, since it is part of each request with a token that is bound to addresses. */
function parseIpv6(text: string): Groups | null {
  const groups: number[] = []
  // How many groups stand before `::`.
  let before = text.startsWith('::') ? 0 : -1
  let at = before === 0 ? 2 : 0
  while (at < text.length) {
    const colon = text.indexOf(':', at)
    const part = text.slice(at, colon < 0 ? text.length : colon)
    // The last groups may be written as an IPv4 address.
    const ipv4 = part.includes('.') && colon < 0 ? parseIpv4(part) : null
    if (ipv4) groups.push(...ipv4)
    else if (GROUP.test(part)) groups.push(Number.parseInt(part, 16))
    else return null
    if (colon < 0) break
    at = colon + 1
    if (text[at] === ':') {
      if (before >= 0) return null
      before = groups.length
      at++
    } else if (at === text.length) return null
  }
  const missing = GROUPS - groups.length
  if (before < 0) return missing === 0 ? groups : null
  // `::` stands for one group or more.
  if (missing < 1) return null
  for (let i = 0; i < missing; i++) groups.splice(before, 0, 0)
  return groups
}

/** The address as two groups. */
function parseIpv4(text: string): [number, number] | null {
  const octets = IPV4.exec(text)?.slice(1).map(Number)
  if (!octets) return null
  const [a = 0, b = 0, c = 0, d = 0] = octets
  return [a * 256 + b, c * 256 + d]
}

function format(groups: Groups): string {
  if (isIpv4(groups)) {
    const [high = 0, low = 0] = groups.slice(6)
    return `${high >> 8}.${high & 255}.${low >> 8}.${low & 255}`
  }
  const { from, to } = longestZeros(groups)
  const hex = (some: Groups): string => some.map((group) => group.toString(16)).join(':')
  // A single group of zeros is written out.
  if (to - from < 2) return hex(groups)
  return `${hex(groups.slice(0, from))}::${hex(groups.slice(to))}`
}

/** The longest run of zeros; the first one if there are several. */
function longestZeros(groups: Groups): { from: number; to: number } {
  let longest = { from: 0, to: 0 }
  for (let from = 0; from < groups.length; from++) {
    let to = from
    while (groups[to] === 0) to++
    if (to - from > longest.to - longest.from) longest = { from, to }
  }
  return longest
}
