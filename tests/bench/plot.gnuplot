# SPDX-License-Identifier: MIT
# One SVG from the data files of `hostmalloc bench --plot FOLDER`: gnuplot -e "folder='F'; axis='sizes'" plot.gnuplot
# An axis is the file that is drawn; "ratios" is those by size and by threads, side by side.
set terminal svg size (axis eq "ratios" ? 1180 : 960),(axis eq "ratios" ? 460 : 540) font "sans,12" background "white"
set output folder . "/" . axis . ".svg"
set grid
set logscale y 2
set format y "%g"
set ylabel "ratio, lower is better"

# gnuplot has fewer colours than there are contenders, and some of them are pale.
colours = "#9467bd #17a58a #56b4e9 #e69f00 #2ca02c #0060ad #d62728 #000000 #8c564b #ff69b4"
do for [i = 1:words(colours)] { set linetype i linecolor rgb word(colours, i) }

if (axis eq "ratios") {
    set multiplot title "Churn, against mimalloc called directly: medians"
    axes = "sizes threads"
    set tmargin at screen 0.92
    set bmargin at screen 0.13
} else {
    set title "Churn, against mimalloc called directly: median and quartiles"
    axes = axis
    set key outside right noenhanced
}

do for [each in axes] {
    file = folder . "/" . each . ".dat"
    stats file using 1 nooutput
    blocks = STATS_blocks
    set xlabel each eq "sizes" ? "bytes a block" : each eq "threads" ? "threads" : "live blocks"
    unset logscale x
    set logscale x (each eq "live" ? 10 : 2)
    if (axis eq "ratios") {
        set lmargin at screen (each eq "sizes" ? 0.055 : 0.43)
        set rmargin at screen (each eq "sizes" ? 0.385 : 0.70)
        if (each eq "sizes") { set key off } else { unset ylabel; set key at screen 0.995,0.92 right top noenhanced }
        plot for [i = 0:blocks - 1] file index i using 1:2 with lines linewidth 1.5 linetype i + 1 \
            title columnheader(1)
    } else {
        plot for [i = 0:blocks - 1] file index i using 1:2:3:4 with yerrorlines pointtype 7 pointsize 0.4 \
            linetype i + 1 title columnheader(1)
    }
}
if (axis eq "ratios") {
    unset multiplot
}
