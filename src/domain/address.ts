/**
 * Internet addresses as callers, proxies and settings write them. Inside, each is the eight groups of an IPv6 address.
 * An IPv4 address has the groups of `::ffff:a.b.c.d`, so that both ways of writing it are the same address.
 */
type Groups = readonly number[]

/** A CIDR block, or one address. */
export interface Block {
  groups: Groups
  /** How many bits of the groups count, from the first. */
  bits: number
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
    const { groups, bits } = parseBlock(text)
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
  return entries.map(parseBlock)
}

/** @param address in canonical form */
export function isInside(blocks: readonly Block[], address: string): boolean {
  const groups = parse(address)
  return groups !== null && blocks.some((block) => holds(block, groups))
}

function parseBlock(text: string): Block {
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

/** A block of IPv6 addresses holds no IPv4 address, however large it is. */
const holds = (block: Block, groups: Groups): boolean =>
  (isIpv4(block.groups) && block.bits >= IPV4_FROM_BIT) === isIpv4(groups) &&
  groups.every((group, i) => (group & maskOf(block.bits, i)) === block.groups[i])

/** The bits of the i-th group that belong to a prefix. */
function maskOf(bits: number, i: number): number {
  const reached = Math.min(Math.max(bits - i * GROUP_BITS, 0), GROUP_BITS)
  return (0xffff << (GROUP_BITS - reached)) & 0xffff
}

const isIpv4 = (groups: Groups): boolean =>
  groups[5] === 0xffff && groups.slice(0, 5).every((group) => group === 0)

function withoutPort(text: string): Groups | null {
  const [, address = text, port = '0'] = IN_BRACKETS.exec(text) ?? IPV4_WITH_PORT.exec(text) ?? []
  return Number(port) <= LARGEST_PORT ? parse(address) : null
}

function parse(text: string): Groups | null {
  const ipv4 = parseIpv4(text)
  if (ipv4) return [0, 0, 0, 0, 0, 0xffff, ...ipv4]
  const [head = '', tail, ...more] = text.split('::')
  if (more.length > 0) return null
  const [first, last] = [parseGroups(head, tail === undefined), parseGroups(tail ?? '', true)]
  if (!first || !last) return null
  const missing = GROUPS - first.length - last.length
  // `::` stands for one group or more.
  if (tail === undefined ? missing !== 0 : missing < 1) return null
  return [...first, ...Array<number>(missing).fill(0), ...last]
}

/** @param isEnd are these the last groups? Those may end with an IPv4 address */
function parseGroups(text: string, isEnd: boolean): number[] | null {
  if (text === '') return []
  const parts = text.split(':')
  const groups: number[] = []
  for (const [i, part] of parts.entries()) {
    const ipv4 = isEnd && i === parts.length - 1 ? parseIpv4(part) : null
    if (ipv4) groups.push(...ipv4)
    else if (GROUP.test(part)) groups.push(Number.parseInt(part, 16))
    else return null
  }
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
