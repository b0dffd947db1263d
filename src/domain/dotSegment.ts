const DOT_SEGMENT = /\/(?:\.|%2e){1,2}(?=[/;]|$)/i

/**
 * Has a path a segment `.` or `..`, in any spelling (RFC 3986 §5.2.4)? Programs differ in where such a path leads: some
 * parsers of URLs overlook it, and some servers cut off what stands behind a semicolon first.
 */
export const hasDotSegment = (path: string): boolean => DOT_SEGMENT.test(path)
