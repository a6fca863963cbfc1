/** Our version, as the command line and snapshots say it. A test keeps it equal to package.json. */
export const VERSION = '0.1.0';

/** Name and version. */
export const PROGRAM = `holdfast ${VERSION}`;
